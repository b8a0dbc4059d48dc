"""Reads what a run keeps for the explorer: the folder `glimpses/` next to its record.

Shape suffixes: B images, N = h x w cells, K neighbours.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    Array = np.ndarray[Any, np.dtype[Any]]

FOLDER = "glimpses"
_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, ValueError, EOFError, KeyError)
# The kind of each array that a point has to hold, and its dimensions.
_POINT = {
    "plain": (np.uint8, "BHW3"),
    "similarity": (np.int8, "BNN"),
    "grid": (np.integer, "2"),
    "neighbours": (np.integer, "BK"),
    "neighbour_similarity": (np.int8, "BK"),
    "neighbour_same_class": (np.bool_, "BK"),
    "neighbour_images": (np.uint8, "JYX3"),
}
# What methods that predict features add.
_PREDICTION = {
    "predicted_cosine": (np.floating, "Bhw"),
    "plain_context": (np.bool_, "Bhw"),
    "plain_targets": (np.bool_, "BMhw"),
}
_MASKS = {"mask_shares": (np.floating, "S"), "mask_blocks": (np.integer, "T"), "mask_draws": (np.uint8, "STDhw")}


@dataclass(frozen=True)
class ExplorerFiles:
    """What one run keeps.

    Attributes:
        points: arrays by name, by percent of the budget, from the untrained network on; of the first training images.
        masks: draws of the method's masks; empty where it has none.
    """

    points: dict[int, dict[str, Array]]
    masks: dict[str, Array]


def read_explorer_files(run: Path) -> ExplorerFiles | None:
    """What a run's folder keeps; None without any point of training.

    Raises:
        ValueError: a file has other contents, for instance code.
    """
    points = {}
    for path in sorted((run / FOLDER).glob("[0-9][0-9][0-9].npz")):
        points[int(path.stem)] = _point(path)
    if not points:
        return None
    path = run / FOLDER / "masks.npz"
    masks = _read(path, _MASKS) if path.exists() else {}
    return ExplorerFiles(points, masks)


def _point(path: Path) -> dict[str, Array]:
    arrays = _read(path, _POINT, _PREDICTION)
    cells, pictures = int(np.prod(arrays["grid"])), arrays["neighbours"].size
    if arrays["similarity"].shape[1] != cells or len(arrays["neighbour_images"]) != pictures:
        raise ValueError(f"{path}: not a file of the explorer (its arrays do not fit each other)")
    return arrays


def _read(path: Path, needed: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Array]:
    """The arrays of a file, checked: all that are needed, and of the optional ones all or none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {str(name): file[name] for name in file.files}
    except (*_DAMAGED, AttributeError) as error:
        raise ValueError(f"{path}: not a file of the explorer ({error})") from None
    expected = {**needed, **(optional if optional and any(name in arrays for name in optional) else {})}
    sizes: dict[str, int] = {"2": 2, "3": 3}
    for name, (kind, letters) in expected.items():
        array = arrays.get(name)
        if array is None or array.ndim != len(letters) or not np.issubdtype(array.dtype, kind) or 0 in array.shape:
            found = "is missing" if array is None else f"is {array.dtype} of shape {array.shape}"
            raise ValueError(f"{path}: not a file of the explorer ('{name}' {found})")
        for letter, size in zip(letters, array.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(f"{path}: not a file of the explorer ('{name}' is of shape {array.shape})")
    return {name: arrays[name] for name in expected}
