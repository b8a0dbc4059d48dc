"""Display names of entries and methods."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmark.records.schema import Record

DISPLAY: dict[str, str] = {
    "cnn_jepa": "CNN-JEPA",
    "cnn_jepa_dense": "CNN-JEPA (dense)",
    "cnn_jepa_sparse": "CNN-JEPA (sparse)",
    "byol": "BYOL",
    "simclr": "SimCLR",
    "simclr_vit": "SimCLR (ViT)",
    "byol_vit": "BYOL (ViT)",
    "vicreg": "VICReg",
    "ijepa": "I-JEPA",
    "supervised": "supervised",
    "random_init": "random init",
    "random_init_vit": "random init (ViT)",
    "supervised_vit": "supervised (ViT)",
}


# What records say of methods that are not in the table, by name of the method and of the entry.
_learnt: dict[str, str] = {}


def learn(records: Iterable[Record]) -> None:
    """Takes display names of methods from records; those of the table stay as they are."""
    for record in records:
        if record.method_display and record.method not in DISPLAY:
            _learnt[record.method] = record.method_display
            variant = record.entry.removeprefix(f"{record.method}_")
            if variant != record.entry:
                _learnt[record.entry] = f"{record.method_display} ({'ViT' if variant == 'vit' else variant})"


def display(name: str) -> str:
    """The display name of an entry or method; unknown names stay as they are.

    A sweep's point is named after its entry: `simclr.lr-0.003` is SimCLR, lr 0.003.
    """
    entry, _, point = name.partition(".")
    names = {**_learnt, **DISPLAY}
    if point and entry in names:
        return f"{names[entry]}, {re.sub(r'-(?=[0-9a-z])', ' ', point, count=1)}"
    return names.get(name, name)
