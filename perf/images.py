"""The images that scripts in this folder measure on: a folder of the user's, or JPEGs of `shapes` that are made for it.

The environment variable `PERF_DATA` names an image folder for all of them at once, as `make perf` runs them.
"""

from __future__ import annotations

import os
from pathlib import Path

from torchvision.io import encode_jpeg
from torchvision.transforms.v2.functional import resize

from benchmark.data.class_folders import class_files, split_folders
from benchmark.data.shapes.scenes import CLASSES, render_shapes

VARIABLE = "PERF_DATA"


def asked_folder() -> Path | None:
    """What `PERF_DATA` names; None where it is not set."""
    found = os.environ.get(VARIABLE)
    return Path(found) if found else None


def describe(folder: Path, *, made: bool) -> str:
    """What is measured on, in words: the folder's name and how many images it holds, no path."""
    _, splits = class_files(*split_folders(folder))
    count = sum(len(members) for split in splits for members in split)
    return f"{count:,} images of `shapes`" if made else f"folder '{folder.resolve().name}', {count:,} images"


def shapes_folder(folder: Path, train: int, test: int, *, quality: int, side: int = 32) -> Path:
    """Writes an image folder of JPEGs; those beyond 64 px are enlarged."""
    for split, count in (("train", train), ("test", test)):
        scenes = render_shapes(0, split, count, min(side, 64))
        pixels = scenes.pixels if side <= 64 else resize(scenes.pixels, [side, side])
        for index, (image, label) in enumerate(zip(pixels, scenes.labels.tolist(), strict=True)):
            place = folder / split / CLASSES[label]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{index:05}.jpg").write_bytes(encode_jpeg(image, quality=quality).numpy().tobytes())
    return folder
