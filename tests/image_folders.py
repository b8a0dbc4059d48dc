"""Small image folders, and helpers to look into the splits made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from benchmark.data.datasets import ResidentImages, Split

if TYPE_CHECKING:
    from pathlib import Path


def picture(seed: int, width: int = 16, height: int = 16) -> Image.Image:
    """Noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def make_folder(root: Path, train: int = 10, test: int = 4, held_out: str = "test", **shape: int) -> Path:
    """An image folder of three classes."""
    seed = 0
    for split, number in (("train", train), (held_out, test)):
        for name in ("cat", "ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for index in range(number):
                picture(seed, **shape).save(root / split / name / f"{index}.png")
                seed += 1
    return root


def pixel_set(split: Split) -> set[bytes]:
    """The images of a split, regardless of their order."""
    return {bytes(image.numpy().tobytes()) for image in split.images.read(torch.arange(len(split)))}


def only_resident(split: Split) -> ResidentImages:
    """The images of a split; fails unless they are in memory."""
    assert isinstance(split.images, ResidentImages)
    return split.images
