"""Datasets of the library `datasets`: folders of `save_to_disk`, and Parquet files with a column of images."""

from __future__ import annotations

import bisect
import threading
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from benchmark.data.layouts.arrow import (
    ImageColumns,
    arrow_library,
    class_names_of,
    find_image_columns,
    has_images,
    image_bytes,
    parquet_schema,
    reading_arrow,
)
from benchmark.data.layouts.contract import CERTAIN, Found, Layout, Near
from benchmark.data.layouts.names import HELD_OUT, TRAIN, by_split
from benchmark.data.listing import Listing, Members, in_order_of_names, note_on_classes
from benchmark.errors import UserError
from benchmark.files.disk import read_text
from benchmark.files.parse import MOST_JSON_BYTES, load_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEPT_BYTES = 4 << 30  # of Parquet's row groups that stay in memory


def _look(path: Path) -> Found | Near | None:
    if path.is_file():
        if path.suffix.lower() != ".parquet" or not has_images(path):
            return None
        return _look_at_parquet(path, [path])
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        what = "a folder of Hugging Face's save_to_disk"
        return Found(what, True, partial(_list_saved, path, what), path)
    files = [file for folder in (path, path / "data") if folder.is_dir() for file in sorted(folder.glob("*.parquet"))]
    if not files or not has_images(files[0]):
        return None
    return _look_at_parquet(path, files)


def _look_at_parquet(path: Path, files: Sequence[Path]) -> Found | Near:
    columns = find_image_columns(parquet_schema(files[0]))
    if isinstance(columns, str):
        return Near(f"{files[0].name} {columns}", CERTAIN)
    what = "Parquet files with a column of images" if len(files) > 1 else "a Parquet file with a column of images"
    return Found(what, True, partial(_list_parquet, path, what, files, columns), path)


def _list_parquet(root: Path, what: str, files: Sequence[Path], columns: ImageColumns) -> Listing:
    train, test, notes = by_split(files, root)
    _same_columns([(parquet_schema(file), file) for file in (*train, *(test or []))])
    parts = [(_RowGroups(part, columns), part) for part in (train, test) if part]
    if not all(images.fits for images, _ in parts):
        notes.append(
            f"these are more than the {KEPT_BYTES >> 30} GiB of Parquet files that stay in memory, so that training on "
            "them is slow: write HDF5 files first (bench data convert)"
        )
    labels = [[name for file in part for name in _labels(file, columns)] for _, part in parts]
    return _listing(root, what, columns, labels, [images for images, _ in parts], notes)


def _labels(file: Path, columns: ImageColumns) -> list[str]:
    _, parquet = arrow_library(file)
    with reading_arrow(file):
        values = parquet.read_table(file, columns=[columns.label]).column(0).to_pylist()
    return class_names_of(columns, values, file)


def _list_saved(root: Path, what: str) -> Listing:
    notes = []
    if (root / "dataset_dict.json").is_file():
        splits = _stored(root / "dataset_dict.json", "splits")
        train = next((name for name in TRAIN if name in splits), None)
        if train is None:
            raise UserError(f"{root}: has no split 'train'; its splits are {', '.join(splits)}")
        held_out = [name for name in HELD_OUT if name in splits]
        folders = [root / name for name in (train, *held_out[:1])]
        notes = [f"the split {name} is left alone" for name in splits if name not in (train, *held_out[:1])]
    else:
        folders = [root]
    tables = [_saved_table(folder) for folder in folders]
    columns = _same_columns([(table.schema, folder) for table, folder in zip(tables, folders, strict=True)])
    labels = [
        class_names_of(columns, table[columns.label].to_pylist(), folder)
        for table, folder in zip(tables, folders, strict=True)
    ]
    images = [_Column(table[columns.image], folder) for table, folder in zip(tables, folders, strict=True)]
    return _listing(root, what, columns, labels, images, notes)


def _same_columns(schemas: Sequence[tuple[Any, Path]]) -> ImageColumns:
    """The columns of images and labels, which all parts of a dataset have to share."""
    every = []
    for schema, path in schemas:
        columns = find_image_columns(schema)
        if isinstance(columns, str):
            raise UserError(f"{path}: {columns}")
        every.append(columns)
        if columns != every[0]:
            raise UserError(f"{path}: has other columns or classes than {schemas[0][1]}")
    return every[0]


def _stored(path: Path, key: str) -> Any:
    """A value in one of the JSON files that `save_to_disk` writes."""
    text = read_text(path, MOST_JSON_BYTES, errors="replace")
    try:
        return load_json(text)[key]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is damaged; it has no '{key}'") from None


def _saved_table(folder: Path) -> Any:
    """The rows of a split of `save_to_disk`, mapped from its files, not read."""
    pyarrow, _ = arrow_library(folder)
    names = [part["filename"] for part in _stored(folder / "state.json", "_data_files")]
    with reading_arrow(folder):
        return pyarrow.concat_tables(
            pyarrow.ipc.open_stream(pyarrow.memory_map(str(folder / name))).read_all() for name in names
        )


def _listing(
    root: Path,
    what: str,
    columns: ImageColumns,
    labels: Sequence[Sequence[str]],
    images: Sequence[_Column | _RowGroups],
    notes: Sequence[str],
) -> Listing:
    classes = columns.classes or in_order_of_names(labels[0])
    test = set(labels[1]) if len(labels) > 1 else None
    notes = [*notes, *note_on_classes(classes, test, root)]
    numbers = {name: number for number, name in enumerate(classes)}
    members = [
        Members([numbers[name] for name in part], source.names, source.read, source.total_bytes)
        for part, source in zip(labels, images, strict=True)
    ]
    return Listing(root, what, tuple(classes), members[0], members[1] if test is not None else None, tuple(notes))


class _Column:
    """A column of images that is mapped into memory."""

    def __init__(self, column: Any, folder: Path) -> None:
        self._column, self._folder = column, folder
        self.names = [f"{folder}, row {row}" for row in range(len(column))]

    def read(self, row: int) -> bytes:
        return image_bytes(self._column[row], self.names[row], self._folder)

    def total_bytes(self) -> int:
        return int(self._column.nbytes)


class _RowGroups:
    """Columns of images in Parquet files, decompressed a row group at a time.

    Row groups stay in memory where all fit into `KEPT_BYTES`; of more, only the last one does, so that they can be
    read in order (by `bench data convert`), but not at random.
    """

    def __init__(self, files: Sequence[Path], columns: ImageColumns) -> None:
        self._groups: list[tuple[Path, int]] = []
        self.names: list[str] = []
        self._column, self._bytes = columns.image, 0
        counts = []
        for path in files:
            _, parquet = arrow_library(path)
            with reading_arrow(path):
                metadata = parquet.ParquetFile(path).metadata
            for group in range(metadata.num_row_groups):
                self._groups.append((path, group))
                counts.append(metadata.row_group(group).num_rows)
                self._bytes += metadata.row_group(group).total_byte_size
            self.names += [f"{path}, row {row}" for row in range(metadata.num_rows)]
        self._ends = list(accumulate(counts))
        self._kept: dict[int, Any] = {}
        self._lock = threading.Lock()
        self.fits = self._bytes <= KEPT_BYTES

    def read(self, row: int) -> bytes:
        group = bisect.bisect_right(self._ends, row)
        path = self._groups[group][0]
        start = self._ends[group - 1] if group else 0
        return image_bytes(self._load(group)[row - start], self.names[row], path.parent)

    def _load(self, group: int) -> Any:
        with self._lock:
            if group not in self._kept:
                if not self.fits:
                    self._kept.clear()
                path, number = self._groups[group]
                _, parquet = arrow_library(path)
                with reading_arrow(path):
                    table = parquet.ParquetFile(path).read_row_group(number, columns=[self._column])
                self._kept[group] = table.column(0)
            return self._kept[group]

    def total_bytes(self) -> int:
        return self._bytes


HUGGING_FACE = Layout(
    "Hugging Face",
    "a folder that datasets' save_to_disk wrote, or Parquet files with columns of images and labels",
    _look,
)
