"""The time of dense protocols: segmentation of 2,000 images of 64 px with a slim network in under a minute.

Usage: python perf/dense.py [--images N] [--size N] [--width N] [--protocols NAME,...]

Processor time on one thread, which other processes disturb less than the clock's; on two cores it takes no longer. The
network is untrained: its weights do not change the time. Scores are printed, so that a faster protocol that scores
otherwise is noticed.
"""

from __future__ import annotations

import argparse
import time

import torch
from claims import about, claim

from benchmark.data.datasets import load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.evaluation.protocols import score
from benchmark.evaluation.subject import Subject, probe_data
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo

TEST_SHARE = 0.2
MOST_SECONDS = {"segmentation-v1": 60.0}
QUICK = ("segmentation-v1", "segmentation-stages-v1", "segmentation-knn-v1", "depth-v1", "counting-v1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--protocols", default=",".join(QUICK))
    options = parser.parse_args()
    torch.set_num_threads(1)
    subject = _subject(options.images, options.size, options.width)
    about(f"{options.images} images of `shapes-depth`, {options.size} px, ResNet-18 of width {options.width}, 1 thread")
    for name in options.protocols.split(","):
        start, before = time.perf_counter(), time.process_time()
        scores = score(name, subject)
        seconds, cores = time.perf_counter() - start, time.process_time() - before
        shown = ", ".join(f"{key} {value:.4g}" for key, value in list(scores.items())[:2])
        detail = f"{seconds:.1f} s by the clock; {shown}"
        claim(name, cores, "s", at_most=MOST_SECONDS.get(name), detail=detail)


def _subject(images: int, size: int, width: int) -> Subject:
    test = round(TEST_SHARE * images)
    spec = DatasetSpec(name="shapes-depth", size=size, shapes_train=images - test, shapes_test=test)
    dataset = load_dataset(spec, None)
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSpec(name="resnet18", stem="small", width=width), size)
    encoder = Encoder(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)).eval()
    return Subject(
        encoder=encoder.to(memory_format=torch.channels_last),
        data=probe_data(dataset, size),
        device=torch.device("cpu"),
        dataset=dataset,
        seed=0,
        precision="32",
    )


if __name__ == "__main__":
    main()
