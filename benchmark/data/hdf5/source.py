"""Datasets in HDF5 files: which files a path stands for, and their images as a source of splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark.data.decode import LARGEST_NATIVE, canonical_side
from benchmark.data.hdf5.format import SUFFIXES, Container, Encoded, open_container, open_file
from benchmark.data.hdf5.numbered import NumberedFiles
from benchmark.data.images import ImagesOnDemand
from benchmark.data.sources import RawSplit, Source
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from benchmark.data.images import Images, Progress

_TEST_NAMES = ("test", "val")
_FALLBACK_SIZE = 224


class ContainerImages(ImagesOnDemand):
    """Some of a file's images, those at `indices` `(N,)`, decoded each time they are read."""

    def __init__(self, encoded: Encoded, indices: Tensor, side: int, *, native: bool) -> None:
        sizes_N2 = torch.from_numpy(encoded.sizes_N2[indices.numpy()].astype(np.int32))
        super().__init__(len(indices), side, native=native, sizes_N2=sizes_N2)
        self.source, self.indices = encoded, indices

    def encoded(self, position: int) -> tuple[bytes, str]:
        """The bytes of an image's file, and what to call it in a message."""
        index = int(self.indices[position])
        return self.source.read(index), f"{self.source.path}, image {index}"


def open_any(path: Path) -> Encoded:
    """A file of this project's layout or of CNN-JEPA's converter.

    Raises:
        UserError: it is neither; see `open_container`.
    """
    with open_file(path) as file:
        numbered = "format" not in file.attrs and ("images" in file or "labels" in file)
    return NumberedFiles(path) if numbered else open_container(path)


def split_paths(path: Path) -> tuple[Path, Path]:
    """The files of train and test split that a path stands for.

    Args:
        path: `X.h5` for `X-train.h5` and `X-test.h5` (or `-val`); one of these two; or a folder that holds
            `train.h5` and `test.h5`, or one such pair.

    Raises:
        UserError: they are not there.
    """
    if path.is_dir():
        trains = sorted(child for child in path.iterdir() if _beside(child, "test") is not None)
        if len(trains) != 1:
            found = ", ".join(child.name for child in trains) or "none"
            raise UserError(f"{path}: expected one X-train.h5 with its X-test.h5 in this folder, found {found}")
        train = trains[0]
    elif _beside(path, "test") is not None:
        train = path
    else:
        train = path.with_name(f"{path.stem}-train{path.suffix or SUFFIXES[0]}")
    tests = [beside for name in _TEST_NAMES if (beside := _beside(train, name)) is not None]
    test = next((one for one in tests if one.is_file()), None)
    if not train.is_file() or test is None:
        missing = train if not train.is_file() else tests[0]
        raise UserError(f"{path}: {missing} is not there; `bench data convert` writes both splits")
    return train, test


def _beside(path: Path, split: str) -> Path | None:
    """The file of another split that belongs to `train.h5` or `X-train.h5`; None for a file of another name."""
    stem, joint, last = path.stem.rpartition("-")
    if path.suffix not in SUFFIXES or last != "train":
        return None
    return path.with_name(f"{stem}{joint}{split}{path.suffix}")


def load_hdf5(path: Path, size: int | None, progress: Progress | None = None) -> Source:
    """A dataset in HDF5 files; sizes are chosen as for a folder of the same images.

    Args:
        path: see `split_paths`.
        size: the input size in pixels; None takes the images' own where all are square, equal and small, else 224.
        progress: called with (done, of how many) where the files have to be read through.

    Raises:
        UserError: a file is missing, damaged, or its classes are not the other's.
    """
    train, test = (open_any(part) for part in split_paths(path))
    if train.classes != test.classes and isinstance(train, Container):
        raise UserError(f"{train.path} and {test.path}: their classes differ; convert them together")
    codes = [part.checksums(progress) for part in (train, test)]
    sizes = np.concatenate([_sizes(part) for part in (train, test)])
    native = bool((sizes == sizes[0]).all()) and sizes[0, 0] == sizes[0, 1] <= LARGEST_NATIVE
    image_size = size or (int(sizes[0, 0]) if native else _FALLBACK_SIZE)
    side = image_size if native else canonical_side(image_size)
    splits = [_raw_split(part, code, side, native=native) for part, code in zip((train, test), codes, strict=True)]
    classes = max((train.classes, test.classes), key=len)
    return Source(classes, image_size, side, splits[0], splits[1])


def _sizes(part: Encoded) -> NDArray[np.uint32]:
    unknown = (part.sizes_N2 == 0).any(axis=1)
    if unknown.any():
        raise UserError(f"{part.path}, image {int(unknown.argmax())}: not a readable image")
    return part.sizes_N2


def _raw_split(part: Encoded, codes: list[bytes], side: int, *, native: bool) -> RawSplit:
    def open_images(indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        images = ContainerImages(part, indices, side, native=native)
        return images.resident(progress) if resident else images

    labels = torch.from_numpy(part.labels_N.astype(np.int64))
    factors = {name: torch.from_numpy(values) for name, values in part.factors.items()}
    return RawSplit(labels, codes, open_images, factors)
