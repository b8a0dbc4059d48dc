"""The loader of datasets in HDF5 files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark.data.hdf5.format import Container, open_container, open_file
from benchmark.data.hdf5.numbered import NumberedFiles
from benchmark.data.hdf5.paths import split_paths
from benchmark.data.sources import EncodedSplit, Source, encoded_source
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.decode import Progress
    from benchmark.data.spec import LoadRequest

Encoded = Container | NumberedFiles
"""A split's encoded images, accessed by number."""


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
    classes = max((train.classes, test.classes), key=len)
    splits = [_encoded_split(part, request.progress) for part in (train, test)]
    return encoded_source(classes, request.spec.size, *splits)


def _encoded_split(part: Encoded, progress: Progress | None) -> EncodedSplit:
    checksums = part.checksums(progress)  # finds the sizes, where they are not stored
    unknown = (part.sizes_N2 == 0).any(axis=1)
    if unknown.any():
        raise UserError(f"{part.path}, image {int(unknown.argmax())}: not a readable image")
    return EncodedSplit(
        torch.from_numpy(part.labels_N.astype(np.int64)),
        checksums,
        torch.from_numpy(part.sizes_N2.astype(np.int32)),
        lambda index: (part.read(index), f"{part.path}, image {index}"),
        {name: torch.from_numpy(values) for name, values in part.factors.items()},
    )
