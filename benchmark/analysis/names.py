"""Display names of entries and methods."""

from __future__ import annotations

import re

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


def display(name: str) -> str:
    """The display name of an entry or method; unknown names stay as they are.

    A sweep's point is named after its entry: `simclr.lr-0.003` is SimCLR, lr 0.003.
    """
    entry, _, point = name.partition(".")
    if point and entry in DISPLAY:
        return f"{DISPLAY[entry]}, {re.sub(r'-(?=[0-9a-z])', ' ', point, count=1)}"
    return DISPLAY.get(name, name)
