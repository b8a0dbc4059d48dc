"""Peak memory of dense protocols on as many training images as ADE20K has: 20,210 of 512 px, with 150 labels.

Usage: python perf/dense_memory.py [--images N] [--size N] [--protocols NAME,...]

Each measurement runs in a process of its own, on one thread. Counted is memory that the system cannot take back
(Linux: RssAnon, looked at 50 times a second): pages of a mapped file can be written back at any time. The images are
made and lie in ADE20K's layout. The network is a stand-in with ResNet-50's output at 224 px, 7x7 cells of 2,048
channels, because only the size of its maps matters; heads are trained for one epoch, which takes as much memory as
twenty, and scored on 20 images. Claims: the peak stays below 8 GiB, and a further training image adds little more
than its pixels and its label map, because maps of features lie in a file.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from claims import about, claim, skip
from PIL import Image
from torch import Tensor, nn

from benchmark.data.datasets import load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.evaluation.dense import segmentation
from benchmark.evaluation.protocols import score
from benchmark.evaluation.subject import Subject, probe_data
from methods.backbone_spec import BackboneSpec
from methods.backbones import Backbone
from methods.base import Encoder, EncoderInfo

TRAIN, OTHERS, LABELS, SIDE = 20_210, 20, 150, 512
CHANNELS, STRIDE = 2048, 32
MOST_MIB = 8192
STATUS = Path("/proc/self/status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=TRAIN, help="for training")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--protocols", default="segmentation-v1,segmentation-knn-v1")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not STATUS.exists() or "RssAnon" not in STATUS.read_text():
        skip("this system does not tell a process's anonymous memory")
    if options.only:
        _measure(options.only, options.size, options.protocols)
        return
    about(f"made images of {SIDE} px in ADE20K's layout, used at {options.size} px, one thread")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.protocols.split(","):
            small, large = (
                _peak(Path(folder), count, options.size, name) for count in (options.images // 10, options.images)
            )
            peak = f"{options.images:,} images"
            claim(f"{name}: peak of {peak}", large[0], "MiB", at_most=MOST_MIB, detail=f"{large[1]:.0f} s")
            added = (large[0] - small[0]) * 1024 / (options.images - options.images // 10)
            most = 1.25 * 4 * options.size**2 / 1024
            claim(f"{name}: what an image adds", added, "KiB", at_most=most, detail=f"{small[0]:.0f} MiB for a tenth")


def _peak(scratch: Path, count: int, size: int, protocol: str) -> tuple[float, float]:
    """Peak memory in MiB and seconds of one protocol on so many training images."""
    root = scratch / str(count)
    if not root.exists():
        _make(root, "training", count + OTHERS)
        _make(root, "validation", OTHERS)
    command = [sys.executable, __file__, "--only", str(root), "--size", str(size), "--protocols", protocol]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}")
    return float(done.stdout.split()[-1]), time.monotonic() - start


def _make(root: Path, split: str, count: int) -> None:
    """Writes images of coarse blocks of colour, and label maps of the same blocks."""
    images, masks = root / "images" / split, root / "annotations" / split
    for folder in (images, masks):
        folder.mkdir(parents=True)
    draw = np.random.default_rng(len(split))
    for number in range(count):
        blocks = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((SIDE, SIDE)).save(images / f"{number:06}.jpg")
        labels = Image.fromarray((blocks[..., 0] % (LABELS + 1)).astype(np.uint8))
        labels.resize((SIDE, SIDE), Image.Resampling.NEAREST).save(masks / f"{number:06}.png", compress_level=1)


class _Wide(Backbone):
    """A random projection of each cell's mean colour, with as many cells and channels as ResNet-50's last map."""

    pooling = "mean"

    def feature_map(self, images: Tensor) -> Tensor:
        """Feature maps `(B, 2048, S / 32, S / 32)`."""
        return F.relu(self.net(F.avg_pool2d(images, STRIDE)))


def _measure(root: Path, size: int, protocol: str) -> None:
    torch.set_num_threads(1)
    images = sum(1 for _ in (root / "images" / "training").iterdir())
    dataset = load_dataset(DatasetSpec(name="annotated", size=size, validation_share=OTHERS / images), root)
    backbone = _Wide(BackboneSpec(name="resnet50"), nn.Conv2d(3, CHANNELS, 1), CHANNELS)
    subject = Subject(
        encoder=Encoder(backbone, EncoderInfo("online", backbone.pooling, CHANNELS)).eval(),
        data=probe_data(dataset, size),
        device=torch.device("cpu"),
        dataset=dataset,
        seed=0,
        precision="32",
    )
    ended = threading.Event()
    peaks = [0]

    def watch() -> None:
        while not ended.wait(0.02):
            found = re.search(r"RssAnon:\s+(\d+) kB", STATUS.read_text())
            peaks[0] = max(peaks[0], int(found[1]) if found else 0)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with patch.object(segmentation, "EPOCHS", 1):
            score(protocol, subject)
    finally:
        ended.set()
        thread.join()
    print(peaks[0] / 1024)


if __name__ == "__main__":
    main()
