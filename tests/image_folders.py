"""Small image folders and HDF5 files, and the images of the splits made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from PIL import Image

from benchmark.data.folder import with_test_split
from benchmark.data.hdf5.convert import Reencode, convert_listing
from benchmark.data.images import ResidentImages
from benchmark.data.layouts.find import list_images
from benchmark.data.spec import DatasetSpec

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Split


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


def damage(path: Path) -> None:
    """Zeros between the header and the end of a WebP file, which only decoding shows."""
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes(len(content) - 40))


def pixel_set(split: Split) -> set[bytes]:
    """The images of a split, regardless of their order."""
    return {bytes(image.numpy().tobytes()) for image in split.images.read(torch.arange(len(split)))}


def only_resident(split: Split) -> ResidentImages:
    """The images of a split; fails unless they are in memory."""
    assert isinstance(split.images, ResidentImages)
    return split.images


def all_pixels(split: Split) -> torch.Tensor:
    """The images of a split in order, uint8 `(N, 3, H, W)`."""
    return split.images.read(torch.arange(len(split)))


def converted(folder: Path, out: Path, reencode: Reencode | None = None, *, skip: bool = False) -> list[str]:
    """Converts an image folder to HDF5 files; returns the messages."""
    messages: list[str] = []
    listing = with_test_split(list_images(folder), DatasetSpec(name="folder"))
    convert_listing(listing, out, reencode, skip=skip, progress=lambda done, total: None, say=messages.append)
    return messages


def rewritten(path: Path, **changes: Any) -> None:
    """Replaces datasets and attributes of an HDF5 file; None removes a dataset."""
    with h5py.File(path, "r+") as file:
        for name, value in changes.items():
            if name in file.attrs:
                file.attrs[name] = value
                continue
            del file[name]
            if value is not None:
                file[name] = value
