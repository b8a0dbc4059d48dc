"""The loader of image folders: `train/<class>/` and `test/<class>/` or `val/<class>/`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from benchmark.data.class_folders import class_files, split_folders
from benchmark.data.decode import encoded_size, in_order, read_bytes
from benchmark.data.sources import EncodedSplit, Source, encoded_source
from benchmark.data.splits import checksum

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.data.decode import Progress
    from benchmark.data.spec import LoadRequest


def load_folder(request: LoadRequest) -> Source:
    """Lists an image folder, with a checksum of each file. Reads every file once; decodes none.

    `val/` is the test split where there is no `test/`, and is ignored otherwise. Classes are the folders in `train/`,
    sorted by name. Images are the files below them, without hidden files and other extensions. Links to folders below a
    class are not followed.

    Sizes are chosen as `encoded_source` says. If the central squares fit in memory, training crops are drawn from them
    and never reach what is outside: a simplification. Otherwise crops are drawn from each whole image.

    Raises:
        UserError: the folder, a split, a class or a file is missing, empty or unreadable; says which.
    """
    return list_folders(*split_folders(request.path), request.spec.size, request.progress)


def list_folders(
    train: Path, test: Path, size: int | None, progress: Progress | None = None, names: Sequence[str] | None = None
) -> Source:
    """As `load_folder`, for two folders of class folders; `names` replaces the folders' names."""
    classes, files = class_files(train, test)
    paths = [path for split in files for members in split for path in members]
    infos = list(in_order(_inspect, paths, progress))
    border = sum(map(len, files[0]))
    splits = [
        EncodedSplit(
            torch.tensor([label for label, members in enumerate(files[number]) for _ in members]),
            [code for code, _ in infos[part]],
            torch.tensor([(height, width) for _, (width, height) in infos[part]], dtype=torch.int32),
            partial(_read, paths[part]),
        )
        for number, part in enumerate((slice(border), slice(border, None)))
    ]
    return encoded_source(tuple(names or classes), size, *splits)


def _read(paths: Sequence[Path], index: int) -> tuple[bytes, str]:
    return read_bytes(paths[index]), str(paths[index])


def _inspect(path: Path) -> tuple[bytes, tuple[int, int]]:
    """A file's checksum, and the image's width and height."""
    encoded = read_bytes(path)
    return checksum(encoded), encoded_size(encoded, str(path))
