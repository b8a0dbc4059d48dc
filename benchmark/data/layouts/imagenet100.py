"""ImageNet-100 as on Kaggle: classes spread over `train.X1/` to `train.X4/`, `val.X/`.

Classes keep their ids; the names in `Labels.json` are not read.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from benchmark.data.layouts.class_folders import list_split
from benchmark.data.layouts.contract import CERTAIN, Found, Layout, Near
from benchmark.data.layouts.names import folders_in

if TYPE_CHECKING:
    from pathlib import Path

_PART = re.compile(r"(train|val)\.X\d*")


def _look(path: Path) -> Found | Near | None:
    if not path.is_dir():
        return None
    parts = [folder for folder in folders_in(path) if _PART.fullmatch(folder.name)]
    trains = [folder for folder in parts if folder.name.startswith("train")]
    val = next((folder for folder in parts if folder.name.startswith("val")), None)
    if not trains:
        return None
    if val is None:
        return Near(f"has {trains[0].name}/ as ImageNet-100 on Kaggle, but no val.X/", CERTAIN)
    span = trains[0].name + (f"/ to {trains[-1].name}" if len(trains) > 1 else "")
    what = f"ImageNet-100's layout on Kaggle ({span}/, {val.name}/)"
    return Found(what, True, partial(list_split, path, what, trains, val, ()), path, tuple(trains))


IMAGENET100 = Layout("ImageNet-100 on Kaggle", "train.X1/<class>/ to train.X4/<class>/, val.X/<class>/", _look)
