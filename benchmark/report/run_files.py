"""Reads the files next to a record: the run's history, the parts of its step, its views."""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import UserError
from benchmark.files.disk import read_json
from benchmark.records.history import read_history
from benchmark.records.seal import HISTORY_FILE
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.records.schema import Record

# Datasets that this project draws itself: any report may show their images.
OWN_IMAGES = ("shapes", "shapes-depth")
# Datasets of the user's own files; their images are shown in the user's own report.
_OWN_FILES = ("folder", "hdf5")

MOST_VIEW_BYTES = 256 * 2**20
"""Bytes of all arrays of a `glimpse.npz`, which holds a few images."""

MethodViews = dict[str, "np.ndarray[Any, np.dtype[Any]]"]


@dataclass
class RunFiles:
    """The contents of files next to some records, by `id` of the record.

    Attributes:
        histories: the lines of `history.jsonl`.
        parts: of `breakdown.json`: seconds of a step by part.
        views: of `glimpse.npz`: arrays by name.
        folders: of runs whose images may be shown.
        withheld: datasets whose images are left out: other people's, or all where no pictures are wanted.
        own: datasets of the user's own files whose images are shown.
        beside: the folder of each record.
        pictures: whether images are shown; None: those of this project's datasets and of the user's own files.
    """

    histories: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    parts: dict[int, dict[str, float]] = field(default_factory=dict)
    views: dict[int, MethodViews] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    folders: dict[int, Path] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    beside: dict[int, Path] = field(default_factory=dict)
    pictures: bool | None = None


def read_run_files(records: Sequence[tuple[Path, Record]], *, pictures: bool | None = None) -> RunFiles:
    """Reads the files next to records; missing ones are no problem.

    Args:
        pictures: whether images are shown; None: those of this project's datasets and of the user's own files.
    """
    files = RunFiles(pictures=pictures)
    for path, record in records:
        files.beside[id(record)] = path.parent
        files.histories[id(record)] = []
        try:
            files.histories[id(record)] = read_history(path.with_name(HISTORY_FILE))
            if (parts := read_parts(path.with_name("breakdown.json"))) is not None:
                files.parts[id(record)] = parts
        except ValueError as error:
            files.problems.append(str(error))
        views = path.with_name("glimpse.npz")
        if not views.exists() and not path.with_name("glimpses").exists():
            continue
        name, mine = record.dataset.name, _of_own_files(record)
        if name not in OWN_IMAGES and not (mine if pictures is None else pictures):
            files.withheld.add(name)
            continue
        if mine:
            files.own.add(name)
        files.folders[id(record)] = path.parent
        if not views.exists():
            continue
        try:
            files.views[id(record)] = read_views(views)
        except ValueError as error:
            files.problems.append(str(error))
    return files


def _of_own_files(record: Record) -> bool:
    """Whether a run's images are the user's own files."""
    dataset = record.config.get("dataset")
    return isinstance(dataset, dict) and dataset.get("name") in _OWN_FILES


def read_parts(path: Path) -> dict[str, float] | None:
    """Seconds of a step by part; None without the file.

    Raises:
        ValueError: the file has other contents.
    """
    if not path.exists():
        return None
    try:
        parts = read_json(path)["parts"]
        seconds = {str(name): float(value) for name, value in parts.items()}
    except UserError as error:
        raise ValueError(str(error)) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(f"{path}: expected 'parts', the seconds of a step by name") from None
    if any(not math.isfinite(value) for value in seconds.values()) or sum(seconds.values()) <= 0:
        raise ValueError(f"{path}: the seconds of a step are {', '.join(map(str, seconds.values()))}")
    # The rest is a difference of two clocks and may be slightly negative.
    return {name: max(0.0, value) for name, value in seconds.items()}


_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, MemoryError, RecursionError)
_SHAPES = {
    "images": "BHWC",
    "context": "Bhw",
    "targets": "BMhw",
    "target_pca": "BhwC",
    "predicted_pca": "BhwC",
    "reconstruction": "BHWC",
}


def read_views(path: Path) -> MethodViews:
    """The arrays of `glimpse.npz` by name: pixels as uint8, masks as booleans, features' colours in [0, 1].

    Raises:
        ValueError: the file has other contents, for instance code.
    """
    try:
        arrays = read_arrays(path)
    except (*_DAMAGED, OSError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: not a file of views ({first_line(error)})") from None
    images = arrays.get("images")
    if images is None or not len(images):
        raise ValueError(f"{path}: not a file of views (no images)")
    for name, array in arrays.items():
        letters = _SHAPES.get(name, "BHWC" if name.startswith("view_") else None)
        if letters is None:
            continue
        kind = bool if letters in ("Bhw", "BMhw") else np.floating if name.endswith("_pca") else np.uint8
        fits = array.ndim == len(letters) and len(array) == len(images) and np.issubdtype(array.dtype, kind)
        if not fits or 0 in array.shape or (letters[-1] == "C" and array.shape[-1] != 3):
            raise ValueError(f"{path}: not a file of views ('{name}' is {array.dtype} of shape {array.shape})")
    return arrays


def read_arrays(path: Path) -> MethodViews:
    """The arrays of a `.npz` file; what one declares is compared with what the file holds before it is read."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > MOST_VIEW_BYTES:
            raise ValueError(f"it declares {total:,} bytes; expected at most {MOST_VIEW_BYTES:,}")
        for member in members:
            with archive.open(member) as file:
                _check_declared(member, file)
    with np.load(path, allow_pickle=False) as arrays:
        return {str(name): arrays[name] for name in arrays.files}


def _check_declared(member: zipfile.ZipInfo, file: IO[bytes]) -> None:
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"'{member.filename}' has the format version {version}")
    shape, _, kind = read[version](file)
    declared = math.prod(shape) * kind.itemsize
    if kind.hasobject or declared != member.file_size - file.tell():
        raise ValueError(f"'{member.filename}' declares {declared:,} bytes, and holds {member.file_size:,}")
