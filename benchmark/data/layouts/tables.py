"""A CSV, TSV or Parquet file with the path and the label of each image, and perhaps its split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmark.data.layouts.arrow import has_images
from benchmark.data.layouts.contract import CERTAIN, GUESS, LIKELY, Found, Layout, Near
from benchmark.data.layouts.names import HELD_OUT, TRAIN, by_split, folders_in, split_of
from benchmark.data.layouts.rows import TEXT_SUFFIXES, Columns, find_columns, read_rows
from benchmark.data.listing import Listing, file_listing
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ENDINGS = ("", ".jpg", ".jpeg", ".png", ".JPEG", ".JPG")  # where paths are given without theirs
_HEAD = 2


@dataclass(frozen=True)
class _Base:
    """What paths in a table are relative to, and the ending that they lack."""

    folder: Path
    ending: str = ""

    def __call__(self, text: str) -> Path:
        return self.folder / f"{text}{self.ending}"


@dataclass(frozen=True)
class _Table:
    path: Path
    columns: Columns
    base: _Base


def _look(path: Path) -> Found | Near | None:
    if path.is_file():
        if path.suffix.lower() not in (*TEXT_SUFFIXES, ".parquet"):
            return None
        if path.suffix.lower() == ".parquet" and has_images(path):
            return None
        return _look_at(path, _with_counterparts(path), CERTAIN)
    if not path.is_dir():  # a device, a pipe
        return None
    files = sorted(child for child in path.iterdir() if child.suffix.lower() in TEXT_SUFFIXES)
    trains = [file for file in files if split_of(file.stem) in TRAIN]
    if len(trains) == 1:
        return _look_at(trains[0], _with_counterparts(trains[0]), LIKELY)
    whole = [file for file in files if split_of(file.stem) is None and not file.stem.startswith("sample_submission")]
    tables = [(file, found) for file in whole if isinstance(found := _look_at(file, [file], GUESS), Found)]
    if len(tables) > 1:
        names = ", ".join(file.name for file, _ in tables)
        return Near(f"has several tables of images ({names}); name one: --data {tables[0][0]}", LIKELY)
    if tables:
        return tables[0][1]
    return _look_at(whole[0], whole, LIKELY) if len(whole) == 1 else None


def _with_counterparts(path: Path) -> list[Path]:
    """A table, and if it is of train, those of other splits beside it: `test.csv` beside `train.csv`."""
    siblings = sorted(path.parent.glob(f"*{path.suffix}")) if split_of(path.stem) in TRAIN else []
    return [path, *(other for other in siblings if other != path and _is_counterpart(path, other))]


def _is_counterpart(train: Path, other: Path) -> bool:
    """Whether two files are called alike but for the split."""
    own, theirs = split_of(train.stem), split_of(other.stem)
    if own is None or theirs not in HELD_OUT:
        return False
    return train.stem.lower().replace(own, "") == other.stem.lower().replace(theirs, "")


def _look_at(where: Path, files: Sequence[Path], closeness: int) -> Found | Near:
    train, test, notes = by_split(files, where)
    tables = []
    for file in [*train, *(test or [])]:
        table = _table(file)
        if isinstance(table, str):
            if file in train:
                return Near(f"{file.name} {table}", closeness)
            notes.append(f"{file.name} {table}; it is left alone")
            test = None
        else:
            tables.append(table)
    what = f"a table of paths and labels ({', '.join(table.path.name for table in tables)})"
    return Found(what, False, partial(_list, where, what, tables, notes), where)


def _table(path: Path) -> _Table | str:
    """A table's columns and what its paths are relative to; or why it is none of images."""
    head = read_rows(path, _HEAD)
    if not head:
        return "is empty"
    is_file = [_base(path.parent, cell) is not None for cell in head[0]]
    columns = find_columns(head, is_file)
    if isinstance(columns, str):
        return columns
    if columns.header and len(head) < 2:
        return "has no rows"
    first = head[1 if columns.header else 0]
    text = first[columns.path] if columns.path < len(first) else ""
    base = _base(path.parent, text)
    # Where the first image is missing, listing says so, with all others.
    return _Table(path, columns, base or _Base(path.parent))


def _base(folder: Path, text: str) -> _Base | None:
    """What a path in a table is relative to: the table's folder, or a folder in it."""
    if not text or "\0" in text:
        return None
    for base in (folder, *folders_in(folder)):
        for ending in _ENDINGS:
            try:
                if (base / f"{text}{ending}").is_file():
                    return _Base(base, ending)
            except OSError:  # too long for a path
                return None
    return None


def _list(where: Path, what: str, tables: Sequence[_Table], notes: Sequence[str]) -> Listing:
    parts: dict[str, list[tuple[Path, str]]] = {}
    seen: dict[Path, str] = {}
    for table in tables:
        for place, path, label, split in _entries(table):
            if path in seen:
                raise UserError(f"{place}: '{path.name}' appears twice (first in {seen[path]})")
            seen[path] = place
            parts.setdefault(split, []).append((path, label))
    trains = [name for name in TRAIN if name in parts]
    held_out = [name for name in HELD_OUT if name in parts]
    train = [item for name in (trains or [""]) for item in parts.get(name, [])]
    if not train:
        raise UserError(f"{where}: has no row of the split train; its splits are {', '.join(parts) or 'none'}")
    spare = [f"the {len(parts[name]):,} rows of the split {name} are left alone" for name in held_out[1:]]
    test = parts[held_out[0]] if held_out else None
    return file_listing(where, what, train, test, notes=[*notes, *spare])


def _entries(table: _Table) -> list[tuple[str, Path, str, str]]:
    """The rows: where each stands, for messages; the image's path; label; split, '' where none is stated."""
    columns, entries, missing = table.columns, [], []
    rows = read_rows(table.path)
    file_split = split_of(table.path.stem) or ""
    for number, row in enumerate(rows[columns.header :], start=1 + columns.header):
        place = f"{table.path}: row {number}"
        needed = max(columns.path, columns.label, columns.split or 0)
        if len(row) <= needed:
            raise UserError(f"{place} has {len(row)} cells; expected at least {needed + 1}")
        if not row[columns.label]:
            raise UserError(f"{place} ('{row[columns.path]}') has no label")
        split = file_split
        if columns.split is not None:
            split = row[columns.split].lower()
            if split not in (*TRAIN, *HELD_OUT):
                raise UserError(f"{place} has the split '{split}'; choices: {', '.join((*TRAIN, *HELD_OUT))}")
        path = table.base(row[columns.path])
        if not path.is_file():
            missing.append(f"row {number}: '{row[columns.path]}'")
        entries.append((place, path, row[columns.label], split))
    # Where some exist, the others are bad images, named with all of their kind when they are read.
    if len(missing) == len(entries) > 0:
        backslashes = "; paths in it have backslashes, which separate folders on Windows alone" * ("\\" in missing[0])
        raise UserError(
            f"{table.path}: none of {len(entries):,} images exists, such as {missing[0]} (looked for in "
            f"{table.base.folder}); paths are relative to the table's folder, or absolute{backslashes}"
        )
    return entries


TABLES = Layout("a table of paths", "a .csv, .tsv or .parquet file with a column of paths and one of labels", _look)
