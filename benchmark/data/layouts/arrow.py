"""Columns of images and labels in Arrow and Parquet files, as the library `datasets` describes them.

pyarrow is an extra, and is imported when such a file is looked at.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.files.disk import read_bytes
from benchmark.files.parse import load_json
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LABELS = ("label", "labels", "fine_label", "class", "target", "cls")


@dataclass(frozen=True)
class ImageColumns:
    """The names of the columns of images and labels, and the classes' names, if they are stored."""

    image: str
    label: str
    classes: tuple[str, ...] | None

    def class_of(self, value: Any) -> str:
        """The name of the class that a cell of the column of labels holds."""
        return self.classes[value] if self.classes is not None else str(value)


def arrow_library(path: Path) -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`; a `UserError` says how to install them for this path."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: reading it needs pyarrow; pip install 'cnn-jepa-bench[arrow]'") from None
    return pyarrow, pyarrow.parquet


@contextmanager
def reading_arrow(path: Path) -> Iterator[None]:
    """While pyarrow reads a file: its errors become `UserError`s that name the file."""
    pyarrow, _ = arrow_library(path)
    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from None


def parquet_schema(path: Path) -> Any:
    """The columns of a Parquet file."""
    _, parquet = arrow_library(path)
    with reading_arrow(path):
        return parquet.read_schema(path)


def has_images(path: Path) -> bool:
    """Whether a Parquet file holds images themselves, not their paths."""
    return _image_column(parquet_schema(path)) is not None


def find_image_columns(schema: Any) -> ImageColumns | str:
    """The columns of images and labels of a schema; or what is missing."""
    image = _image_column(schema)
    if image is None:
        return f"has no column of images; its columns are {', '.join(schema.names)}"
    features = _features(schema)
    labelled = [name for name, feature in features.items() if _kind(feature) == "ClassLabel"]
    candidates = [name for name in _LABELS if name in schema.names] or labelled
    if len(candidates) != 1 and not set(candidates) & set(_LABELS):
        found = f"several columns of labels ({', '.join(candidates)})" if candidates else "no column of labels"
        return f"has {found}; expected one named {', '.join(_LABELS)}; its columns are {', '.join(schema.names)}"
    label = candidates[0]
    names = features.get(label, {}).get("names") if label in labelled else None
    return ImageColumns(image, label, tuple(names) if names else None)


def _image_column(schema: Any) -> str | None:
    stated = [name for name, feature in _features(schema).items() if _kind(feature) == "Image"]
    if stated:
        return stated[0]
    for column in schema:
        fields = {column.type.field(i).name for i in range(column.type.num_fields)}
        if "bytes" in fields or str(column.type) in ("binary", "large_binary"):
            return str(column.name)
    return None


def _features(schema: Any) -> dict[str, Any]:
    """The features that `datasets` has written into a schema; none in files of other programs."""
    stored = (schema.metadata or {}).get(b"huggingface")
    try:
        features = load_json(stored.decode())["info"]["features"] if stored else {}
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def image_bytes(cell: Any, name: str, folder: Path) -> bytes:
    """The bytes of an image's cell: binary, or a struct of `bytes` and `path`."""
    value: Any = cell.as_py()
    if isinstance(value, dict):
        path = value.get("path")
        if value.get("bytes") is None and path and (folder / path).is_file():
            value = {"bytes": read_bytes(folder / path)}
        value = value.get("bytes")
    if not isinstance(value, bytes):
        raise UserError(f"{name}: holds no image")
    return value


def class_names_of(columns: ImageColumns, values: Sequence[Any], where: Path) -> list[str]:
    """The class of each row; a `UserError` names a row without a label."""
    known = None if columns.classes is None else range(len(columns.classes))
    for row, value in enumerate(values):
        if value is None or (known is not None and value not in known):
            raise UserError(f"{where}: row {row} has no label (column '{columns.label}' holds {value})")
    return [columns.class_of(value) for value in values]
