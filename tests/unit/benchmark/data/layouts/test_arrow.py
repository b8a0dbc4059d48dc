"""Columns of images and labels, and what is said where pyarrow is missing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from made_layouts import put

from benchmark.data.layouts.arrow import ImageColumns, class_names_of, find_image_columns, image_bytes
from benchmark.data.layouts.find import find_layout
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def schema(features: dict[str, Any] | None = None, **columns: str) -> Any:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra arrow")
    kinds = {"int": arrow.int64(), "text": arrow.string(), "bytes": arrow.binary()}
    kinds["image"] = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    return arrow.schema([(name, kinds[kind]) for name, kind in columns.items()], metadata=metadata)


@pytest.mark.parametrize(
    ("columns", "features", "expected"),
    [
        ({"image": "image", "label": "int"}, None, ImageColumns("image", "label", None)),
        ({"jpg": "bytes", "cls": "int"}, None, ImageColumns("jpg", "cls", None)),
        (
            {"img": "image", "kind": "int"},
            {"img": {"_type": "Image"}, "kind": {"_type": "ClassLabel", "names": ["a", "b"]}},
            ImageColumns("img", "kind", ("a", "b")),
        ),
        (
            {"img": "image", "coarse_label": "int", "fine_label": "int"},
            {name: {"_type": "ClassLabel", "names": [name]} for name in ("coarse_label", "fine_label")},
            ImageColumns("img", "fine_label", ("fine_label",)),
        ),
    ],
)
def test_columns_are_found(columns: dict[str, str], features: dict[str, Any] | None, expected: ImageColumns) -> None:
    assert find_image_columns(schema(features, **columns)) == expected


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": "text", "label": "int"}, "has no column of images; its columns are path, label"),
        ({"image": "image", "caption": "text"}, "has no column of labels; expected one named label, labels"),
    ],
)
def test_a_missing_column_is_named(columns: dict[str, str], message: str) -> None:
    found = find_image_columns(schema(**columns))
    assert isinstance(found, str) and message in found


def test_rows_without_a_label_or_an_image_are_named(tmp_path: Path) -> None:
    columns = ImageColumns("image", "label", ("ant", "bee"))
    assert class_names_of(columns, [1, 0], tmp_path) == ["bee", "ant"]
    for value in (None, -1, 2):
        with pytest.raises(UserError, match=f"row 1 has no label .column 'label' holds {value}"):
            class_names_of(columns, [0, value], tmp_path)
    arrow = pytest.importorskip("pyarrow", reason="needs the extra arrow")
    put(tmp_path / "a.png", b"abc")
    assert image_bytes(arrow.scalar({"bytes": None, "path": "a.png"}), "row 0", tmp_path) == b"abc"
    assert image_bytes(arrow.scalar(b"ab"), "row 0", tmp_path) == b"ab"
    with pytest.raises(UserError, match="row 7: holds no image"):
        image_bytes(arrow.scalar({"bytes": None, "path": "b.png"}), "row 7", tmp_path)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    put(tmp_path / "a.parquet", b"PAR1")
    with pytest.raises(UserError, match=r"a\.parquet: reading it needs pyarrow; pip install 'cnn-jepa-bench\[arrow\]'"):
        find_layout(tmp_path / "a.parquet")


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra arrow")
    put(tmp_path / "a.parquet", b"no parquet")
    with pytest.raises(UserError, match=r"a\.parquet: cannot be read"):
        find_layout(tmp_path / "a.parquet")
