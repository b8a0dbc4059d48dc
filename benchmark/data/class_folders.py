"""The files of an image folder: `train/<class>/` and `test/<class>/` or `val/<class>/`. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from benchmark.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def split_folders(path: Path) -> tuple[Path, Path]:
    """The folders of the train and test splits in an image folder.

    Raises:
        UserError: one is missing.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; expected an image folder with train/<class>/ and test/<class>/")
    train = path / "train"
    if not train.is_dir():
        contents = ", ".join(sorted(child.name for child in path.iterdir())[:5]) or "nothing"
        raise UserError(f"{path}: has no train/ (it has: {contents}); expected train/<class>/ and test/<class>/")
    test = next((path / name for name in ("test", "val") if (path / name).is_dir()), None)
    if test is None:
        raise UserError(f"{path}: has neither test/ nor val/; one of them is needed as the test split")
    return train, test


def class_files(train: Path, test: Path) -> tuple[list[str], list[list[list[Path]]]]:
    """The classes' folder names, and the files by split and class, sorted.

    Raises:
        UserError: a class or its files are missing.
    """
    classes, others = _classes(train), _classes(test)
    for root, other, extra in ((train, test, {*classes} - {*others}), (test, train, {*others} - {*classes})):
        if extra:
            listed = ", ".join(f"'{name}'" for name in sorted(extra)[:5]) + (", ..." if len(extra) > 5 else "")
            raise UserError(f"{root}: class {listed} is missing from {other}; both need the same classes")
    return classes, [[_files(root / name) for name in classes] for root in (train, test)]


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


def _files(root: Path) -> list[Path]:
    files = []
    for folder, children, names in os.walk(root):
        children[:] = sorted(name for name in children if not name.startswith("."))
        visible = (name for name in sorted(names) if not name.startswith("."))
        paths = (Path(folder) / name for name in visible if name.lower().endswith(EXTENSIONS))
        files += [path for path in paths if path.is_file() or not path.exists()]  # no pipes; broken links fail later
    if not files:
        raise UserError(f"{root}: no images in this class folder; expected files ending in {', '.join(EXTENSIONS)}")
    return files
