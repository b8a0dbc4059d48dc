"""Tiny-ImageNet as it is published: `train/<class>/images/*.JPEG`, `val/images/` and `val/val_annotations.txt`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmark.data.layouts.class_folders import class_images, class_names
from benchmark.data.layouts.contract import CERTAIN, Found, Layout, Near
from benchmark.data.layouts.flat import labelled_files
from benchmark.data.layouts.names import folders_in, left_out
from benchmark.data.listing import Listing, file_listing
from benchmark.errors import UserError
from benchmark.files.disk import reading

if TYPE_CHECKING:
    from pathlib import Path

_ANNOTATIONS = "val_annotations.txt"
_WHAT = "Tiny-ImageNet's layout (train/<class>/images/, val/val_annotations.txt)"


def _look(path: Path) -> Found | Near | None:
    train, val = path / "train", path / "val"
    if not (train.is_dir() and (val / "images").is_dir()):
        return None
    if (val / _ANNOTATIONS).is_file():
        return Found(_WHAT, True, partial(_list, path), path, (train,))
    if any((folder / "images").is_dir() for folder in folders_in(train)[:1]):
        return Near(
            f"has Tiny-ImageNet's layout, but val/{_ANNOTATIONS} with the labels of val/images/ is missing", CERTAIN
        )
    return None


def _list(root: Path) -> Listing:
    train, annotations = root / "train", root / "val" / _ANNOTATIONS
    classes = class_names(train)
    part, others = class_images(train, classes)
    with reading(annotations):
        lines = annotations.read_text(encoding="utf-8", errors="replace").splitlines()
    labels: dict[str, str] = {}
    for number, line in enumerate(filter(str.strip, lines), start=1):
        name, *rest = line.split("\t")
        if not rest or rest[0] not in classes:
            found = f"the class '{rest[0]}', which train/ does not have" if rest else f"'{line[:40]}'"
            raise UserError(f"{annotations}: line {number} has {found}; expected FILE, a tab, and a class of train/")
        if labels.setdefault(name.rpartition(".")[0] or name, rest[0]) != rest[0]:
            raise UserError(f"{annotations}: line {number}: {name} appears twice, with two classes")
    test = labelled_files(root / "val" / "images", labels, annotations)
    notes = [left_out(others, root, expected=(".txt",))]  # the boxes of each class
    if (root / "test").is_dir():
        notes.append("test/ has no labels and is left alone; val/ is the test split")
    return file_listing(root, _WHAT, part, test, classes=classes, notes=list(filter(None, notes)))


TINY_IMAGENET = Layout("Tiny-ImageNet", f"train/<class>/images/, val/images/ and val/{_ANNOTATIONS}", _look)
