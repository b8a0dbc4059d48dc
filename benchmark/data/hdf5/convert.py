"""Converts listed images and datasets to HDF5 files of encoded images (`format.py` describes the layout)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.io import encode_jpeg, encode_png
from torchvision.transforms.v2 import functional as transforms

from benchmark.data.bad_images import BadImage, BadImageError, refusal
from benchmark.data.decode import decode, in_order
from benchmark.data.hdf5.paths import NOTHING_KEPT, SPLITS
from benchmark.data.hdf5.write import Writers
from benchmark.data.listing import prefix_of
from benchmark.errors import UserError
from benchmark.text import first_line, on_one_line

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from benchmark.data.datasets import Dataset
    from benchmark.data.decode import Progress
    from benchmark.data.hdf5.write import Say
    from benchmark.data.listing import Listing, Members

_LONGEST_JPEG = 65_500  # libjpeg's JPEG_MAX_DIMENSION


@dataclass(frozen=True)
class Reencode:
    """Re-encodes images as JPEG: the short side in pixels to which larger images shrink, and the quality."""

    short_side: int
    quality: int = 95

    def __post_init__(self) -> None:
        if self.short_side < 8:
            raise UserError(f"--resize is {self.short_side}; expected at least 8 pixels")
        if not 1 <= self.quality <= 100:
            raise UserError(f"--quality is {self.quality}; expected 1 to 100")

    def __call__(self, image_3HW: Tensor, name: str) -> bytes:
        """The JPEG file of an image; a `BadImageError` names one that has no such file."""
        size = list(image_3HW.shape[-2:])
        short = min(size)
        if short > self.short_side:
            size = [max(self.short_side, round(length * self.short_side / short)) for length in size]
        if max(size) > _LONGEST_JPEG:  # beyond it the encoder would end the process
            height, width = size
            raise BadImageError(
                name, f"would be {width:,} x {height:,} pixels; a JPEG file has at most {_LONGEST_JPEG:,} on a side"
            )
        if short > self.short_side:
            image_3HW = transforms.resize(image_3HW, size, antialias=True)
        try:
            return bytes(encode_jpeg(image_3HW, quality=self.quality).numpy().tobytes())
        except (RuntimeError, ValueError) as error:
            raise BadImageError(name, f"cannot be encoded as JPEG ({first_line(error)})") from None


def convert_listing(
    listing: Listing,
    out: Path,
    reencode: Reencode | None,
    *,
    skip: bool,
    progress: Progress,
    say: Say,
    checked: Progress | None = None,
) -> list[Path]:
    """Converts listed images. Every image is decoded once, so that unreadable ones are found.

    Args:
        listing: with a test split.
        out: `X.h5`, for `X-train.h5` and `X-test.h5`, which are returned.
        reencode: None keeps the files' bytes.
        skip: leave unreadable images out and list them in the file, instead of refusing them, all together.
        say: receives messages about left-out images and removed remains of an interrupted conversion.
        checked: as `progress`, while the written files are read back.

    Raises:
        UserError: an image is unreadable, a file exists, or the disk is full; nothing incomplete is left.
    """
    assert listing.test is not None
    classes, prefix = listing.classes, prefix_of(listing.root)
    attributes = {} if reencode is None else {"resize": reencode.short_side, "quality": reencode.quality}
    bad: list[BadImage] = []
    with Writers(out, attributes, say) as writers:
        for split, members in zip(SPLITS, (listing.train, listing.test), strict=True):
            writer = writers.open(split, classes, members.total_bytes())
            images = in_order(partial(_prepare, members, reencode=reencode), range(len(members)), progress)
            for name, label, image in zip(members.names, members.labels, images, strict=True):
                if isinstance(image, UserError):
                    inside = name.removeprefix(prefix)
                    bad.append(BadImage(inside, str(image).removeprefix(f"{name}: ")))
                    writer.skipped.append(inside)
                    found = on_one_line(str(image))
                    if skip:
                        say(f"left out: {found}")
                    elif len(bad) == 1:
                        say(f"bad: {found}; nothing will be written, only the other images are checked")
                elif skip or not bad:  # otherwise only what else is bad is still of interest
                    writer.add(image[0], label, image[1])
            if bad and not skip:
                continue
            empty = sorted(set(members.labels) - writer.labels_written())
            if empty:
                raise UserError(f"{listing.root}: {split} has no readable image of class '{classes[empty[0]]}'")
            writer.finish(checked)
        if bad and not skip:
            raise refusal(listing.root, bad, len(listing.train) + len(listing.test), NOTHING_KEPT)
        return writers.publish()


def _prepare(members: Members, index: int, reencode: Reencode | None) -> tuple[bytes, tuple[int, int]] | UserError:
    """The bytes to write, with the image's height and width; or why the image cannot be read."""
    try:
        encoded, name = members.encoded(index)
        image = decode(encoded, name)
        if reencode is not None:
            encoded = reencode(image, name)
            image = decode(encoded, name)
    except UserError as error:
        return error
    return encoded, (image.shape[-2], image.shape[-1])


def convert_dataset(
    dataset: Dataset, out: Path, *, progress: Progress, say: Say, checked: Progress | None = None
) -> list[Path]:
    """Converts a loaded dataset to PNGs of its images at the size it keeps them; train includes the validation split.

    Nothing is lost at the dataset's input size. Unlabelled images are left out. Callbacks and errors are those of
    `convert_listing`.
    """
    parts = {"train": (dataset.train, dataset.validation), "test": (dataset.test,)}
    with Writers(out, {"dataset": dataset.name}, say) as writers:
        for name, splits in parts.items():
            total = sum(len(split) for split in splits)
            writer = writers.open(name, dataset.classes, total * 3 * dataset.image_size**2)
            done = 0
            for split in splits:
                for indices in torch.split(torch.arange(len(split)), 512):
                    images = split.images.read(indices)
                    for image, index in zip(images, indices.tolist(), strict=True):
                        size = (image.shape[-2], image.shape[-1])
                        writer.add(bytes(encode_png(image).numpy().tobytes()), int(split.labels[index]), size)
                    done += len(indices)
                    progress(done, total)
            writer.factors = {
                name: np.concatenate([split.factors[name].float().numpy() for split in splits])
                for name in splits[0].factors
            }
            writer.finish(checked)
        return writers.publish()
