"""What lies beside a record: the history of the run, the parts of its step, a glimpse of what it saw."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.records.schema import Record

# Datasets that this project draws itself: pictures of their images may stand in any report.
OWN_IMAGES = ("shapes",)

MethodViews = dict[str, "np.ndarray[Any, np.dtype[Any]]"]


@dataclass
class Beside:
    """Files beside some records, by `id` of the record.

    Attributes:
        histories: the lines of `history.jsonl`.
        parts: of `breakdown.json`: seconds of a step by part.
        glimpses: of `glimpse.npz`: arrays by name.
        problems: what could not be read, one line each.
        withheld: datasets of images of others, whose glimpses were left unread.
    """

    histories: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    parts: dict[int, dict[str, float]] = field(default_factory=dict)
    glimpses: dict[int, MethodViews] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    withheld: set[str] = field(default_factory=set)


def read_beside(found: Sequence[tuple[Path, Record]], *, pictures: bool = False) -> Beside:
    """Reads what lies beside records; a file that is missing is no problem.

    Args:
        found: record files and what they hold.
        pictures: whether pictures of images that are not this project's own are wanted.
    """
    beside = Beside()
    for path, record in found:
        beside.histories[id(record)] = read_history(path.with_name("history.jsonl"))
        try:
            if (parts := read_parts(path.with_name("breakdown.json"))) is not None:
                beside.parts[id(record)] = parts
        except ValueError as error:
            beside.problems.append(str(error))
        glimpse = path.with_name("glimpse.npz")
        if not glimpse.exists():
            continue
        if record.dataset.name not in OWN_IMAGES and not pictures:
            beside.withheld.add(record.dataset.name)
            continue
        try:
            beside.glimpses[id(record)] = read_glimpse(glimpse)
        except ValueError as error:
            beside.problems.append(str(error))
    return beside


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's history; without the file none, and a line cut off by a crash is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def read_parts(path: Path) -> dict[str, float] | None:
    """Seconds of a step by part; None without the file.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable ({error})") from None
    try:
        parts = json.loads(text)["parts"]
        seconds = {str(name): float(value) for name, value in parts.items()}
    except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"{path}: expected 'parts', the seconds of a step by name") from None
    if any(not math.isfinite(value) for value in seconds.values()) or sum(seconds.values()) <= 0:
        raise ValueError(f"{path}: the seconds of a step are {', '.join(map(str, seconds.values()))}")
    # The rest is a difference of two clocks, and may come out a hair below zero.
    return {name: max(0.0, value) for name, value in seconds.items()}


_SHAPES = {"images": "BHWC", "context": "Bhw", "targets": "BMhw", "target_pca": "BhwC", "predicted_pca": "BhwC"}


def read_glimpse(path: Path) -> MethodViews:
    """The arrays of a glimpse by name: pixels as uint8, masks as booleans, features' colours in [0, 1].

    Raises:
        ValueError: the file holds something else, or code.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {str(name): file[name] for name in file.files}
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        KeyError,
        AttributeError,
    ) as error:
        raise ValueError(f"{path}: not a glimpse ({error})") from None
    images = arrays.get("images")
    if images is None or not len(images):
        raise ValueError(f"{path}: not a glimpse (no images)")
    for name, array in arrays.items():
        letters = _SHAPES.get(name, "BHWC" if name.startswith("view_") else None)
        if letters is None:
            continue
        kind = bool if letters in ("Bhw", "BMhw") else np.floating if name.endswith("_pca") else np.uint8
        fits = array.ndim == len(letters) and len(array) == len(images) and np.issubdtype(array.dtype, kind)
        if not fits or 0 in array.shape or (letters[-1] == "C" and array.shape[-1] != 3):
            raise ValueError(f"{path}: not a glimpse ('{name}' is {array.dtype} of shape {array.shape})")
    return arrays
