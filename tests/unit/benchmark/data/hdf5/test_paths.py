"""Which HDF5 files a path stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmark.data.hdf5.paths import split_paths
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    pass


@pytest.mark.parametrize(
    ("files", "path", "expected"),
    [
        (("x-train.h5", "x-test.h5"), "x.h5", ("x-train.h5", "x-test.h5")),
        (("x-train.h5", "x-val.h5"), "x.h5", ("x-train.h5", "x-val.h5")),
        (("x-train.h5", "x-test.h5", "x-val.h5"), "x-train.h5", ("x-train.h5", "x-test.h5")),
        (("x-train.hdf5", "x-test.hdf5"), "x.hdf5", ("x-train.hdf5", "x-test.hdf5")),
        (("train.h5", "val.h5", "notes.txt"), ".", ("train.h5", "val.h5")),
        (("train.h5", "val.h5"), "train.h5", ("train.h5", "val.h5")),
        (("x-train.h5", "x-test.h5"), "x", ("x-train.h5", "x-test.h5")),
    ],
)
def test_the_two_files_of_a_path(files: tuple[str, ...], path: str, expected: tuple[str, str], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert split_paths(tmp_path / path) == tuple(tmp_path / name for name in expected)


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        ((), "x.h5", r"x\.h5: .*x-train\.h5 does not exist"),
        (("x-train.h5",), "x.h5", r"x\.h5: .*x-test\.h5 does not exist"),
        ((), ".", "expected one X-train.h5 with its X-test.h5 in this folder, found none"),
        (("a-train.h5", "b-train.h5"), ".", "found a-train.h5, b-train.h5"),
    ],
)
def test_missing_files_are_named(files: tuple[str, ...], path: str, message: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=message):
        split_paths(tmp_path / path)
