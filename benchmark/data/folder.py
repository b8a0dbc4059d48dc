"""The loader of image folders: `train/<class>/` and `test/<class>/` or `val/<class>/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmark.data.class_folders import class_files, split_folders
from benchmark.data.decode import LARGEST_NATIVE, canonical_side, encoded_size, in_order, read_bytes
from benchmark.data.images import LazyImages
from benchmark.data.sources import RawSplit, Source
from benchmark.data.splits import checksum

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from benchmark.data.decode import Progress
    from benchmark.data.images import Images
    from benchmark.data.spec import LoadRequest

_FALLBACK_SIZE = 224


def load_folder(request: LoadRequest) -> Source:
    """Lists an image folder, with a checksum of each file. Reads every file once; decodes none.

    `val/` is the test split where there is no `test/`, and is ignored otherwise. Classes are the folders in `train/`,
    sorted by name. Images are the files below them, without hidden files and other extensions. Links to folders below a
    class are not followed.

    Square images of one size of at most 96 px keep that size, or are resized to the request's. Of other images, the
    central square is kept, with a side of 256/224 times the input size (224 by default). If these squares fit in
    memory, training crops are drawn from them and never reach what is outside: a simplification. Otherwise crops are
    drawn from each whole image.

    Raises:
        UserError: the folder, a split, a class or a file is missing, empty or unreadable; says which.
    """
    return list_folders(*split_folders(request.path), request.spec.size, request.progress)


def list_folders(
    train: Path,
    test: Path,
    size: int | None,
    progress: Progress | None = None,
    names: Sequence[str] | None = None,
) -> Source:
    """As `load_folder`, for two folders of class folders; `names` replaces the folders' names."""
    classes, files = class_files(train, test)
    paths = [path for split in files for members in split for path in members]
    infos = list(in_order(_inspect, paths, progress))
    shapes = {shape for _, shape in infos}
    width, height = max(shapes)
    native = len(shapes) == 1 and width == height <= LARGEST_NATIVE
    image_size = size or (width if native else _FALLBACK_SIZE)
    side = image_size if native else canonical_side(image_size)
    split_at = sum(map(len, files[0]))
    train_split, test_split = (
        RawSplit(
            torch.tensor([label for label, members in enumerate(split) for _ in members]),
            [code for code, _ in part_infos],
            _Opener(part, side, [(height, width) for _, (width, height) in part_infos], native=native).open,
        )
        for split, part, part_infos in (
            (files[0], paths[:split_at], infos[:split_at]),
            (files[1], paths[split_at:], infos[split_at:]),
        )
    )
    return Source(tuple(names or classes), image_size, side, train_split, test_split)


class _Opener:
    """Opens files of a split; see `OpenImages`."""

    def __init__(self, paths: Sequence[Path], side: int, sizes: Sequence[tuple[int, int]], *, native: bool) -> None:
        self.paths, self.side, self.native = paths, side, native
        self.sizes_N2 = torch.tensor(sizes, dtype=torch.int32)

    def open(self, indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        paths = [self.paths[index] for index in indices.tolist()]
        lazy = LazyImages(paths, self.side, native=self.native, sizes_N2=self.sizes_N2[indices])
        return lazy.resident(progress) if resident else lazy


def _inspect(path: Path) -> tuple[bytes, tuple[int, int]]:
    """A file's checksum, and the image's width and height."""
    encoded = read_bytes(path)
    return checksum(encoded), encoded_size(encoded, str(path))
