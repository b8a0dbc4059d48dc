"""The loader of datasets in HDF5 files, of this project's layout or that of CNN-JEPA's own converter."""

from __future__ import annotations

import operator
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch

from benchmark.data.bad_images import BadImageError
from benchmark.data.decode import in_order
from benchmark.data.examine import Examined, examine
from benchmark.data.hdf5.format import DAMAGED, MOST_CLASSES, Container, open_container, open_file, whole
from benchmark.data.hdf5.paths import split_paths
from benchmark.data.sources import EncodedSplit, Source, encoded_source
from benchmark.errors import UserError
from benchmark.text import first_line

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmark.data.decode import Progress
    from benchmark.data.spec import LoadRequest


class NumberedFiles:
    """A file with the groups `images` and `labels`, in each one dataset per image, named by number.

    HDF5 reads one image at a time in the whole process. Classes have no names in this layout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.factors: dict[str, NDArray[np.float32]] = {}
        self._opened: tuple[int, h5py.File] | None = None
        try:
            labels = self._labels(path)
        except DAMAGED as error:
            raise UserError(f"{path}: is damaged ({first_line(error)})") from None
        if min(labels) < 0 or max(labels) >= MOST_CLASSES:
            raise UserError(f"{path}: labels from {min(labels)} to {max(labels)}; expected 0 to {MOST_CLASSES - 1}")
        self.labels_N = np.array(labels, dtype=np.int32)
        self.classes = tuple(map(str, range(int(self.labels_N.max()) + 1)))
        # Not stored in the file; `checksums` sets them.
        self.sizes_N2 = np.zeros((0, 2), dtype=np.uint32)
        self.bad: dict[int, str] = {}

    def _labels(self, path: Path) -> list[int]:
        with open_file(path) as file:
            for name in ("images", "labels"):
                if not isinstance(file.get(name), h5py.Group):
                    raise UserError(f"{path}: has no group '{name}'; there are: {', '.join(sorted(file)) or 'none'}")
            count = len(file["images"])
            if not count or len(file["labels"]) != count:
                raise UserError(
                    f"{path}: {count} images and {len(file['labels'])} labels; expected as many of both, at least one"
                )
            if set(file["images"]) != set(map(str, range(count))):
                raise UserError(f"{path}: images have to be numbered from 0 to {count - 1}")
            try:
                return [operator.index(np.asarray(whole(file["labels"][str(n)])[()]).item()) for n in range(count)]
            except (KeyError, ValueError, TypeError, OSError) as error:
                raise UserError(f"{path}: images and labels have to be numbered from 0 ({error})") from None

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def read(self, index: int) -> bytes:
        """The bytes of an image's file."""
        if self._opened is None or self._opened[0] != os.getpid():  # HDF5's state does not outlive a fork
            self._opened = (os.getpid(), open_file(self.path))
        try:
            return np.asarray(whole(self._opened[1]["images"][str(index)])[()]).tobytes()
        except DAMAGED as error:
            raise BadImageError(f"{self.path}, image {index}", f"cannot be read ({first_line(error)})") from None

    def checksums(self, progress: Progress | None = None) -> list[bytes]:
        """One per image, of its file's bytes. Reads the whole file, and sets `sizes_N2` and `bad` on the way."""

        def examine_image(index: int) -> Examined:
            return examine(partial(self.read, index), str(index))

        codes, sizes, reasons = zip(*in_order(examine_image, range(len(self)), progress), strict=True)
        self.sizes_N2 = np.array(sizes, dtype=np.uint32)[:, ::-1]  # from width and height to rows and columns
        self.bad = {number: reason for number, reason in enumerate(reasons) if reason}
        return list(codes)


Encoded = Container | NumberedFiles
"""A split's encoded images, accessed by number."""


def open_any(path: Path) -> Encoded:
    """Opens a file of this project's layout or of CNN-JEPA's converter; a `UserError` if it is neither, or damaged."""
    try:
        with open_file(path) as file:
            numbered = "format" not in file.attrs and ("images" in file or "labels" in file)
    except DAMAGED as error:
        raise UserError(f"{path}: is damaged ({first_line(error)})") from None
    return NumberedFiles(path) if numbered else open_container(path)


def load_hdf5(request: LoadRequest, layout: str = "HDF5 files") -> Source:
    """Opens a dataset in HDF5 files (see `split_paths`); refuses damaged files, and two that differ in classes."""
    train, test = (open_any(part) for part in split_paths(request.path))
    if train.classes != test.classes and isinstance(train, Container):
        raise UserError(f"{train.path} and {test.path}: their classes differ; convert them together")
    classes = max((train.classes, test.classes), key=len)
    splits = [_encoded_split(part, request.progress) for part in (train, test)]
    left_out = sum(len(part.skipped) for part in (train, test) if isinstance(part, Container))
    notes = (f"{left_out:,} images were left out when the files were written",) if left_out else ()
    return encoded_source(classes, request.spec.size, *splits, layout=layout, notes=notes)


def _encoded_split(part: Encoded, progress: Progress | None) -> EncodedSplit:
    checksums = part.checksums(progress)  # finds sizes and bad images, where they are not stored
    bad = part.bad if isinstance(part, NumberedFiles) else {}
    unknown = (part.sizes_N2 == 0).any(axis=1)
    unknown[list(bad)] = False
    if unknown.any():
        raise UserError(f"{part.path}, image {int(unknown.argmax())}: not a readable image")
    return EncodedSplit(
        torch.from_numpy(part.labels_N.astype(np.int64)),
        checksums,
        torch.from_numpy(part.sizes_N2.astype(np.int32)),
        lambda index: (part.read(index), f"{part.path}, image {index}"),
        {name: torch.from_numpy(values) for name, values in part.factors.items()},
        name=lambda index: f"{part.path.name}, image {index}",
        bad=bad,
    )
