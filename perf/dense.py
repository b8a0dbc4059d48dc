"""Time of each dense protocol on 2,000 images of 64 px with a slim network, by part.

    python perf/dense.py [--images 2000] [--size 64] [--width 16] [--threads 2] [protocol ...]

Prints seconds of each protocol with its scores. Target: segmentation-v1 in under 60 s on two cores.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmark.data.datasets import load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.evaluation.protocols import DENSE, GROUPS, NotApplicableError, score
from benchmark.evaluation.subject import Subject, probe_data
from methods.backbones import BackboneSpec, build_backbone
from methods.base import Encoder, EncoderInfo

TEST_SHARE = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", nargs="*", default=GROUPS[DENSE])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    test = round(TEST_SHARE * options.images)
    spec = DatasetSpec(name="shapes-depth", size=options.size, shapes_train=options.images - test, shapes_test=test)
    dataset = load_dataset(spec, None)
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSpec(name="resnet18", stem="small", width=options.width), options.size)
    encoder = Encoder(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)).eval()
    subject = Subject(
        encoder=encoder.to(memory_format=torch.channels_last),
        data=probe_data(dataset, options.size),
        device=torch.device("cpu"),
        dataset=dataset,
        seed=0,
        precision="32",
    )
    for name in options.protocols:
        start, before = time.perf_counter(), time.process_time()
        try:
            scores = score(name, subject)
        except NotApplicableError as error:
            print(f"{name}: {error}")
            continue
        seconds, cores = time.perf_counter() - start, time.process_time() - before
        shown = ", ".join(f"{key} {value:.4g}" for key, value in scores.items())
        print(f"{name}: {seconds:.1f} s ({cores:.1f} s of processor time); {shown}", flush=True)


if __name__ == "__main__":
    main()
