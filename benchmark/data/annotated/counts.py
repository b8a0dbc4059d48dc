"""Images with the number of their objects: any CSV file, CLEVR's scenes and FSC-147's points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmark.data.annotated.contract import Annotated, Item
from benchmark.data.layouts.names import HELD_OUT, TRAIN
from benchmark.data.layouts.rows import PATHS, SPLITS, read_rows
from benchmark.errors import UserError
from benchmark.files.disk import read_json
from benchmark.files.expected import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COUNTS = ("count", "counts", "number", "n", "objects", "num_objects", "total")


def table_of_counts(path: Path) -> Annotated:
    """A CSV or TSV file with a column of paths and one of counts, and perhaps one of splits.

    Raises:
        UserError: a column is missing, or a count is none; names the row.
    """
    header, *rows = read_rows(path) or [[]]
    names = [name.lower() for name in header]
    where = {what: _first(known, names) for what, known in (("path", PATHS), ("count", COUNTS), ("split", SPLITS))}
    if missing := [what for what in ("path", "count") if where[what] is None]:
        known = {"path": PATHS, "count": COUNTS}
        wanted = " and ".join(f"of a {what} ({', '.join(known[what][:4])}, ...)" for what in missing)
        raise UserError(f"{path}: has no column {wanted}; its columns are {', '.join(header[:8])}")
    parts: dict[str, list[Item]] = {}
    for number, row in enumerate(rows, start=2):
        at = f"{path}: row {number}"
        if len(row) < len(header):
            raise UserError(f"{at} has {len(row)} cells; expected {len(header)}")
        image = path.parent / row[where["path"] or 0]
        split = row[where["split"]].lower() if where["split"] is not None else "train"
        if split not in (*TRAIN, *HELD_OUT):
            raise UserError(f"{at} has the split '{split}'; choices: {', '.join((*TRAIN, *HELD_OUT))}")
        count = _number(row[where["count"] or 0], at)
        parts.setdefault(split, []).append(Item(image, count=count))
    items = [item for part in parts.values() for item in part]
    if items and not any(item.image.is_file() for item in items):
        raise UserError(f"{path}: none of {len(items):,} images exists, such as {items[0].image}")
    train = tuple(item for name in TRAIN for item in parts.get(name, ()))
    held_out = [name for name in HELD_OUT if name in parts]
    spare = [f"the {len(parts[name]):,} rows of the split {name} are left alone" for name in held_out[1:]]
    what = "a table of counts" + (f" ({'; '.join(spare)})" if spare else "")
    return Annotated(path, what, train, tuple(parts[held_out[0]]) if held_out else None)


def clevr(root: Path) -> Annotated | None:
    """CLEVR: `scenes/CLEVR_train_scenes.json`, whose objects are counted, beside `images/train/`."""
    files = {split: root / "scenes" / f"CLEVR_{split}_scenes.json" for split in ("train", "val")}
    if not files["train"].is_file():
        return None

    def items(split: str) -> tuple[Item, ...]:
        scenes = _entry(read_json(files[split]), "scenes", list, files[split])
        found = []
        for scene in scenes:
            objects = _entry(scene, "objects", list, files[split])
            name = _entry(scene, "image_filename", str, files[split])
            found.append(Item(root / "images" / split / name, count=len(objects)))
        return tuple(found)

    return Annotated(root, "CLEVR's scenes", items("train"), items("val") if files["val"].is_file() else None)


def fsc147(root: Path) -> Annotated | None:
    """FSC-147: `annotation_FSC147_384.json` with a point for each object, and `Train_Test_Val_FSC_147.json`."""
    points, splits = root / "annotation_FSC147_384.json", root / "Train_Test_Val_FSC_147.json"
    if not points.is_file() or not splits.is_file():
        return None
    annotations, parts = read_json(points), read_json(splits)

    def items(split: str) -> tuple[Item, ...]:
        found = []
        for name in _entry(parts, split, list, splits):
            marked = _entry(_entry(annotations, name, dict, points), "points", list, points)
            found.append(Item(root / "images_384_VarV2" / name, count=len(marked)))
        return tuple(found)

    # Its own validation split is left alone: one is cut from train, as of every dataset.
    return Annotated(root, "FSC-147's points", items("train"), items("test"))


def _entry(data: Any, key: str, kind: type, path: Path) -> Any:
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, kind):
        raise UserError(f"{path}: '{key}' is {kind_of(value)}; expected {kind_of(kind())}")
    return value


def _number(text: str, at: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UserError(f"{at} has the count '{text}'; expected a number from 0")
    return value


def _first(known: Sequence[str], names: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)
