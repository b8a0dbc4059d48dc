"""Rows of a CSV, TSV or Parquet file, as text; and which columns hold paths, labels and splits. No torch, no pandas."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from benchmark.data.layouts.arrow import arrow_library, reading_arrow
from benchmark.errors import UserError
from benchmark.files.disk import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TEXT_SUFFIXES = (".csv", ".tsv")
PATHS = (
    *("path", "filepath", "file_path", "filename", "file_name", "file", "image_path", "img_path", "image", "img"),
    *("image_name", "imagename", "image_file", "image_id", "imageid", "id", "name"),
)
LABELS = ("label", "labels", "class", "class_name", "classname", "category", "target", "class_id", "classid", "y")
SPLITS = ("split", "subset", "partition", "set")


@dataclass(frozen=True)
class Columns:
    """Positions of the columns that matter, and whether the first row names the columns."""

    path: int
    label: int
    split: int | None
    header: bool


def read_rows(path: Path, most: int | None = None) -> list[list[str]]:
    """The rows of a table, the names of its columns first; at most `most` of them. Empty cells are ''."""
    rows = _parquet_rows(path, most) if path.suffix.lower() == ".parquet" else _text_rows(path)
    return [row for row in islice(rows, most) if row]


def _text_rows(path: Path) -> Iterator[list[str]]:
    with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        try:
            first = file.readline()
            file.seek(0)
            separator = max(("\t", ";", ","), key=first.count)
            for row in csv.reader(file, delimiter=separator):
                yield [cell.strip() for cell in row]
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: not a table in UTF-8 ({error})") from None


def _parquet_rows(path: Path, most: int | None) -> Iterator[list[str]]:
    _, parquet = arrow_library(path)
    with reading_arrow(path), parquet.ParquetFile(path) as file:
        yield list(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=most or 65536):
            columns = [column.to_pylist() for column in batch.columns]
            yield from (["" if cell is None else str(cell) for cell in row] for row in zip(*columns, strict=True))


def find_columns(head: Sequence[Sequence[str]], is_file: Sequence[bool]) -> Columns | str:
    """The columns of a table, or what is missing.

    Args:
        head: the first row, and the second if there is one.
        is_file: for each cell of the first row, whether it is the path of an image.
    """
    names = [name.lower() for name in head[0]]
    path, label, split = (_first(known, names) for known in (PATHS, LABELS, SPLITS))
    if path is not None and label is not None:
        return Columns(path, label, split, header=True)
    if len(names) == 2:
        if any(is_file):  # no names of columns
            return Columns(is_file.index(True), 1 - is_file.index(True), None, header=False)
        known = path if path is not None else 1 - label if label is not None else None
        if known is not None:
            return Columns(known, 1 - known, None, header=True)
    missing = " and ".join(
        f"{what} ({', '.join(known[:4])}, ...)"
        for what, known, position in (("paths", PATHS, path), ("labels", LABELS, label))
        if position is None
    )
    return f"has no column of {missing}; its columns are {', '.join(head[0][:8])}"


def _first(known: Sequence[str], names: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)
