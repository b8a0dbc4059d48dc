"""The loader of datasets in HDF5 files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark.data.decode import LARGEST_NATIVE, canonical_side
from benchmark.data.hdf5.format import Container, Encoded, open_container, open_file
from benchmark.data.hdf5.numbered import NumberedFiles
from benchmark.data.hdf5.paths import split_paths
from benchmark.data.images import ImagesOnDemand
from benchmark.data.sources import RawSplit, Source
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from benchmark.data.decode import Progress
    from benchmark.data.images import Images
    from benchmark.data.spec import LoadRequest

_FALLBACK_SIZE = 224


class ContainerImages(ImagesOnDemand):
    """The images of a file at `indices` `(N,)`, decoded each time they are read."""

    def __init__(self, encoded: Encoded, indices: Tensor, side: int, *, native: bool) -> None:
        sizes_N2 = torch.from_numpy(encoded.sizes_N2[indices.numpy()].astype(np.int32))
        super().__init__(len(indices), side, native=native, sizes_N2=sizes_N2)
        self.source, self.indices = encoded, indices

    def encoded(self, position: int) -> tuple[bytes, str]:
        """The bytes of an image's file, and its name for messages."""
        index = int(self.indices[position])
        return self.source.read(index), f"{self.source.path}, image {index}"


def open_any(path: Path) -> Encoded:
    """Opens a file of this project's layout or of CNN-JEPA's converter.

    Raises:
        UserError: it is neither, or damaged; see `open_container`.
    """
    with open_file(path) as file:
        numbered = "format" not in file.attrs and ("images" in file or "labels" in file)
    return NumberedFiles(path) if numbered else open_container(path)


def load_hdf5(request: LoadRequest) -> Source:
    """Opens a dataset in HDF5 files (see `split_paths`); sizes are chosen as for a folder of the same images.

    Raises:
        UserError: a file is missing or damaged, or the two have different classes.
    """
    train, test = (open_any(part) for part in split_paths(request.path))
    if train.classes != test.classes and isinstance(train, Container):
        raise UserError(f"{train.path} and {test.path}: their classes differ; convert them together")
    checksums = [part.checksums(request.progress) for part in (train, test)]
    sizes = np.concatenate([_sizes(part) for part in (train, test)])
    native = bool((sizes == sizes[0]).all()) and sizes[0, 0] == sizes[0, 1] <= LARGEST_NATIVE
    image_size = request.spec.size or (int(sizes[0, 0]) if native else _FALLBACK_SIZE)
    side = image_size if native else canonical_side(image_size)
    splits = [
        _raw_split(part, codes, side, native=native) for part, codes in zip((train, test), checksums, strict=True)
    ]
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
