"""Image folders: `train/<class>/` and `test/<class>/` or `val/<class>/`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmark.data.decode import LARGEST_NATIVE, canonical_side, encoded_size, in_order, read_bytes
from benchmark.data.images import LazyImages
from benchmark.data.sources import RawSplit, Source
from benchmark.data.splits import checksum
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from benchmark.data.images import Images, Progress

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_FALLBACK_SIZE = 224


def load_folder(path: Path, size: int | None, progress: Progress | None = None) -> Source:
    """Lists an image folder, with a checksum of each file. Reads every file once; decodes none.

    A `val/` serves as the test split where there is no `test/`, and is left alone where there is one. Classes are the
    folders in `train/`, sorted by name; images are the files below them, hidden ones and other extensions left out.
    Links to folders below a class are not followed.

    Where all images are square, equal and at most 96 px they stay as they are (or are resized to `size`). Else the
    square in the middle of each is kept, its side `size` x 256/224, and what is kept in memory is no more than that: a
    simplification, in that training crops are drawn from that square and never reach what lies beside it. Those of
    images that are too many to be kept in memory are drawn from the whole of each.

    Args:
        path: the folder.
        size: the input size in pixels; None takes the images' own where they stay as they are, else 224.
        progress: called with (files read, files) now and then.

    Raises:
        UserError: the folder, a split, a class or a file is missing, empty or unreadable; says which.
    """
    return list_folders(*split_folders(path), size, progress)


def split_folders(path: Path) -> tuple[Path, Path]:
    """The folders of train and test split in an image folder.

    Raises:
        UserError: one is missing.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; expected an image folder with train/<class>/ and test/<class>/")
    train = path / "train"
    if not train.is_dir():
        inside = ", ".join(sorted(child.name for child in path.iterdir())[:5]) or "nothing"
        raise UserError(f"{path}: no train/ in it (there is: {inside}); expected train/<class>/ and test/<class>/")
    test = next((path / name for name in ("test", "val") if (path / name).is_dir()), None)
    if test is None:
        raise UserError(f"{path}: neither test/ nor val/ in it; one of them is needed as the test split")
    return train, test


def class_files(train: Path, test: Path) -> tuple[list[str], list[list[list[Path]]]]:
    """The classes' folder names, and for each split and class its files, in order.

    Raises:
        UserError: a class or its files are missing.
    """
    classes = _classes(train)
    _same_classes(classes, _classes(test), train, test)
    return classes, [[_files(root / name) for name in classes] for root in (train, test)]


def list_folders(
    train: Path,
    test: Path,
    size: int | None,
    progress: Progress | None = None,
    names: Sequence[str] | None = None,
) -> Source:
    """The same for two folders of classes; `names` replaces the classes' folder names."""
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
    """Opens some of a split's files."""

    def __init__(self, paths: Sequence[Path], side: int, sizes: Sequence[tuple[int, int]], *, native: bool) -> None:
        self.paths, self.side, self.native = paths, side, native
        self.sizes_N2 = torch.tensor(sizes, dtype=torch.int32)

    def open(self, indices: Tensor, *, resident: bool, progress: Progress | None = None) -> Images:
        paths = [self.paths[index] for index in indices.tolist()]
        lazy = LazyImages(paths, self.side, native=self.native, sizes_N2=self.sizes_N2[indices])
        return lazy.resident(progress) if resident else lazy


def _inspect(path: Path) -> tuple[bytes, tuple[int, int]]:
    encoded = read_bytes(path)
    return checksum(encoded), encoded_size(encoded, str(path))


def _classes(root: Path) -> list[str]:
    """The classes' folder names, sorted; a link that leads back to where we are is none."""
    real = root.resolve()
    names = sorted(
        child.name
        for child in root.iterdir()
        if child.is_dir() and not child.name.startswith(".") and child.resolve() not in (real, *real.parents)
    )
    if not names:
        raise UserError(f"{root}: no class folders in it; expected {root.name}/<class>/<image>")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{root}: class folder {name!r} is not named in UTF-8; rename it") from None
    return names


def _same_classes(train: list[str], test: list[str], train_root: Path, test_root: Path) -> None:
    for names, others, root, other in ((train, test, train_root, test_root), (test, train, test_root, train_root)):
        extra = sorted(set(names) - set(others))
        if extra:
            listed = ", ".join(f"'{name}'" for name in extra[:5]) + (", ..." if len(extra) > 5 else "")
            raise UserError(f"{root}: class {listed} is missing from {other}; both need the same classes")


def _files(root: Path) -> list[Path]:
    found = []
    for folder, children, names in os.walk(root):
        children[:] = sorted(name for name in children if not name.startswith("."))
        visible = (name for name in sorted(names) if not name.startswith("."))
        paths = (Path(folder) / name for name in visible if name.lower().endswith(EXTENSIONS))
        found += [path for path in paths if path.is_file() or not path.exists()]  # pipes and such are no images
    if not found:
        raise UserError(f"{root}: no images in this class folder; expected files ending in {', '.join(EXTENSIONS)}")
    return found
