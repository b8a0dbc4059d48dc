"""Image folders: `train/<class>/` and `test/<class>/` or `val/<class>/`. Imports torch only to load one."""

from __future__ import annotations

import os
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.data.decode import Progress
    from benchmark.data.sources import Source
    from benchmark.data.spec import LoadRequest

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def split_folders(path: Path) -> tuple[Path, Path]:
    """The folders of the train and test splits in an image folder; a `UserError` if one is missing."""
    if not path.is_dir():
        problem = "is a file" if path.exists() else "no such folder"
        raise UserError(f"{path}: {problem}; expected an image folder with train/<class>/ and test/<class>/")
    train = path / "train"
    if not train.is_dir():
        contents = ", ".join(sorted(child.name for child in path.iterdir())[:5]) or "nothing"
        raise UserError(f"{path}: has no train/ (it has: {contents}); expected train/<class>/ and test/<class>/")
    test = next((path / name for name in ("test", "val") if (path / name).is_dir()), None)
    if test is None:
        raise UserError(f"{path}: has neither test/ nor val/; one of them is needed as the test split")
    return train, test


def class_files(train: Path, test: Path) -> tuple[list[str], list[list[list[Path]]]]:
    """The classes' folder names, and the files by split and class, sorted; a `UserError` if some are missing."""
    classes, others = _classes(train), _classes(test)
    for root, other, extra in ((train, test, {*classes} - {*others}), (test, train, {*others} - {*classes})):
        if extra:
            listed = ", ".join(f"'{name}'" for name in sorted(extra)[:5]) + (", ..." if len(extra) > 5 else "")
            raise UserError(f"{root}: class {listed} is missing from {other}; both need the same classes")
    return classes, [[image_files(root / name) for name in classes] for root in (train, test)]


def _classes(root: Path) -> list[str]:
    """The classes' folder names, sorted, without links back to this folder or its parents."""
    real = root.resolve()
    names = sorted(
        child.name
        for child in root.iterdir()
        if child.is_dir() and not child.name.startswith(".") and child.resolve() not in (real, *real.parents)
    )
    if not names:
        raise UserError(f"{root}: has no class folders; expected {root.name}/<class>/<image>")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{root}: class folder {name!r} is not named in UTF-8; rename it") from None
    return names


def image_files(root: Path) -> list[Path]:
    """The image files below a folder, sorted; a `UserError` if there are none."""
    files = []
    for folder, children, names in os.walk(root):
        children[:] = sorted(name for name in children if not name.startswith("."))
        visible = (name for name in sorted(names) if not name.startswith("."))
        paths = (Path(folder) / name for name in visible if name.lower().endswith(EXTENSIONS))
        files += [path for path in paths if path.is_file() or not path.exists()]  # no pipes; broken links fail later
    if not files:
        raise UserError(f"{root}: no images in this folder; expected files ending in {', '.join(EXTENSIONS)}")
    return files


def load_folder(request: LoadRequest) -> Source:
    """Lists an image folder, with a checksum of each file. Reads every file once; decodes those that look damaged.

    `val/` is the test split where there is no `test/`, and is ignored otherwise. Classes are the folders in `train/`,
    sorted by name. Images are the files below them, without hidden files and other extensions. Links to folders below a
    class are not followed.

    Sizes are chosen as `encoded_source` says. If the central squares fit in memory, training crops are drawn from them
    and never reach what is outside: a simplification. Otherwise crops are drawn from each whole image.

    Raises:
        UserError: the folder, a split or a class is missing or empty; says which. Unreadable files are the source's
            `bad` images.
    """
    return list_folders(*split_folders(request.path), request.spec.size, request.progress)


def list_folders(
    train: Path, test: Path, size: int | None, progress: Progress | None = None, names: Sequence[str] | None = None
) -> Source:
    """As `load_folder`, for two folders of class folders; `names` replaces the folders' names."""
    import torch

    from benchmark.data.decode import in_order, read_bytes
    from benchmark.data.examine import examine_file
    from benchmark.data.sources import EncodedSplit, encoded_source

    def name(paths: Sequence[Path], index: int) -> str:
        return paths[index].relative_to(train.parent).as_posix()

    def read(paths: Sequence[Path], index: int) -> tuple[bytes, str]:
        return read_bytes(paths[index]), str(paths[index])

    classes, files = class_files(train, test)
    splits, paths = [], [[path for members in split for path in members] for split in files]
    infos = iter(list(in_order(examine_file, [*paths[0], *paths[1]], progress)))
    for part, members_by_class in zip(paths, files, strict=True):
        labels = [label for label, members in enumerate(members_by_class) for _ in members]
        codes, sizes, reasons = zip(*islice(infos, len(part)), strict=True)
        sizes_N2 = torch.tensor(sizes, dtype=torch.int32).flip(1)  # from width and height to rows and columns
        bad = {number: reason for number, reason in enumerate(reasons) if reason}
        read_part, name_part = partial(read, part), partial(name, part)
        splits.append(EncodedSplit(torch.tensor(labels), list(codes), sizes_N2, read_part, name=name_part, bad=bad))
    return encoded_source(tuple(names or classes), size, *splits)
