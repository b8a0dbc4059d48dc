"""ImageNet's tree: `ILSVRC/Data/CLS-LOC/train/<class>/`, a flat `val/`, and its labels in `LOC_val_solution.csv`."""

from __future__ import annotations

import csv
from functools import partial
from typing import TYPE_CHECKING

from benchmark.data.layouts.class_folders import class_images, class_names, list_split
from benchmark.data.layouts.contract import CERTAIN, Found, Layout, Near
from benchmark.data.layouts.flat import labelled_files
from benchmark.data.layouts.names import folders_in, left_out
from benchmark.data.listing import Listing, file_listing
from benchmark.errors import UserError
from benchmark.files.disk import reading

if TYPE_CHECKING:
    from pathlib import Path

_SOLUTION = "LOC_val_solution.csv"


def _look(path: Path) -> Found | Near | None:
    # The folder around the tree, ILSVRC itself, or Data/CLS-LOC.
    tree = next((t for t in (path / "ILSVRC", path, path.absolute().parents[1] if _is_inner(path) else path)
                 if (t / "Data" / "CLS-LOC" / "train").is_dir()), None)  # fmt: skip
    if tree is None:
        return None
    data = tree / "Data" / "CLS-LOC"
    train, val = data / "train", data / "val"
    if not val.is_dir():
        return Near("has ImageNet's tree, but no Data/CLS-LOC/val/", CERTAIN)
    what = "ImageNet's tree (ILSVRC/Data/CLS-LOC)"
    if folders_in(val):
        return Found(what, True, partial(list_split, path, what, [train], val, ()), path, (train,))
    places = (tree.absolute().parent, tree, tree / "ImageSets", tree / "ImageSets" / "CLS-LOC")
    solution = next((place / _SOLUTION for place in places if (place / _SOLUTION).is_file()), None)
    if solution is None:
        return Near(
            f"has ImageNet's tree, but {_SOLUTION} with the labels of val/ is missing; expected it beside ILSVRC/, in "
            "it, or in ILSVRC/ImageSets/",
            CERTAIN,
        )
    return Found(f"{what} with {_SOLUTION}", True, partial(_list, path, train, val, solution), path, (train,))


def _is_inner(path: Path) -> bool:
    return path.absolute().name == "CLS-LOC"


def _list(root: Path, train: Path, val: Path, solution: Path) -> Listing:
    classes = class_names(train)
    part, others = class_images(train, classes)
    labels, known = {}, set(classes)
    with reading(solution), solution.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if number == 1 and row[:1] == ["ImageId"]:
                continue
            label = row[1].split(" ")[0] if len(row) > 1 else ""
            if label not in known:
                raise UserError(f"{solution}: line {number} has the class '{label}', which {train} does not have")
            labels[row[0]] = label
    notes = [left_out(others, root)]
    if (val.parent / "test").is_dir():
        notes.append("test/ has no labels and is left alone; val/ is the test split")
    what = f"ImageNet's tree (ILSVRC/Data/CLS-LOC) with {_SOLUTION}"
    test = labelled_files(val, labels, solution)
    return file_listing(root, what, part, test, classes=classes, notes=list(filter(None, notes)))


ILSVRC = Layout(
    "ImageNet's ILSVRC tree", f"ILSVRC/Data/CLS-LOC/train/<class>/ and val/, {_SOLUTION} beside ILSVRC/ or in it", _look
)
