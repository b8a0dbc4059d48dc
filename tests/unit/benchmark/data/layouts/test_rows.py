"""Rows of tables, and which columns matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from made_layouts import put

from benchmark.data.layouts.rows import Columns, find_columns, read_rows
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "path,label\na.png,ant\n"),
        ("x.csv", "\ufeffpath;label\r\na.png;ant\r\n"),
        ("x.tsv", "path\tlabel\n\na.png\tant\n"),
        ("x.csv", 'path, label\n"a.png", ant\n'),
    ],
)
def test_separators_and_marks_are_understood(tmp_path: Path, name: str, content: str) -> None:
    put(tmp_path / name, content)
    assert read_rows(tmp_path / name) == [["path", "label"], ["a.png", "ant"]]
    assert read_rows(tmp_path / name, 1) == [["path", "label"]]


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "x.csv", b"path,label\n\xff\xfe,a\n")
    with pytest.raises(UserError, match="not a table in UTF-8"):
        read_rows(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("head", "is_file", "expected"),
    [
        ([["Path", "Label"]], [False, False], Columns(0, 1, None, header=True)),
        ([["id", "x", "split", "class"]], [False] * 4, Columns(0, 3, 2, header=True)),
        ([["a.png", "ant"]], [True, False], Columns(0, 1, None, header=False)),
        ([["ant", "a.png"]], [False, True], Columns(1, 0, None, header=False)),
        ([["id", "breed"]], [False, False], Columns(0, 1, None, header=True)),
        ([["photo", "label"]], [False, False], Columns(0, 1, None, header=True)),
    ],
)
def test_columns_are_found_by_name_or_by_what_is_in_them(
    head: list[list[str]], is_file: list[bool], expected: Columns
) -> None:
    assert find_columns(head, is_file) == expected


def test_a_missing_column_is_named() -> None:
    assert find_columns([["a", "b", "c"]], [False] * 3) == (
        "has no column of paths (path, filepath, file_path, filename, ...) and labels (label, labels, class, "
        "class_name, ...); its columns are a, b, c"
    )
