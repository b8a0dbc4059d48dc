"""The images that the scripts in this folder measure on: an image folder of the user's, or JPEGs of `shapes`.

The environment variable `PERF_DATA` names an image folder for all scripts at once, for `make perf`.
"""

from __future__ import annotations

import os
from pathlib import Path

from torchvision.io import encode_jpeg
from torchvision.transforms.v2.functional import resize

from benchmark.data.layouts.find import list_images
from benchmark.data.shapes.scenes import CLASSES, render_shapes

VARIABLE = "PERF_DATA"


def data_folder() -> Path | None:
    """The folder that `PERF_DATA` names; None if it is not set."""
    path = os.environ.get(VARIABLE)
    return Path(path) if path else None


def describe(folder: Path, *, made: bool) -> str:
    """A description of the images: the folder's name, without its path, and the number of images."""
    listing = list_images(folder)
    count = len(listing.train) + len(listing.test or ())
    return f"{count:,} images of `shapes`" if made else f"folder '{folder.resolve().name}', {count:,} images"


def shapes_folder(folder: Path, train: int, test: int, *, quality: int, side: int = 32) -> Path:
    """Writes an image folder of JPEGs of `shapes`; images larger than 64 px are enlarged ones."""
    for split, count in (("train", train), ("test", test)):
        scenes = render_shapes(0, split, count, min(side, 64))
        pixels = scenes.pixels if side <= 64 else resize(scenes.pixels, [side, side])
        for index, (image, label) in enumerate(zip(pixels, scenes.labels.tolist(), strict=True)):
            class_folder = folder / split / CLASSES[label]
            class_folder.mkdir(parents=True, exist_ok=True)
            (class_folder / f"{index:05}.jpg").write_bytes(encode_jpeg(image, quality=quality).numpy().tobytes())
    return folder
