"""Which HDF5 files a path stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmark.data.hdf5.paths import existing_file, output_paths, split_paths, stands_for_two
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_conversion_names_both_splits_and_replaces_nothing(tmp_path: Path) -> None:
    train, test = tmp_path / "x-train.h5", tmp_path / "x-test.h5"
    assert output_paths(tmp_path / "x.h5") == {"train": train, "test": test}
    with pytest.raises(UserError, match=r"x\.png: the file's name has to end in \.h5 or \.hdf5"):
        output_paths(tmp_path / "x.png")
    train.touch()
    with pytest.raises(UserError, match=r"x-train\.h5: exists without x-test\.h5"):
        output_paths(tmp_path / "x.h5")
    test.touch()
    with pytest.raises(UserError, match=r"x-train\.h5: exists already"):
        output_paths(tmp_path / "x.h5")


def test_a_missing_file_is_refused_with_the_splits_name(tmp_path: Path) -> None:
    (tmp_path / "x-train.h5").touch()
    existing_file(tmp_path / "x-train.h5")
    with pytest.raises(UserError, match=r"x\.h5: no such file; did you mean .*x-train\.h5"):
        existing_file(tmp_path / "x.h5")
    with pytest.raises(UserError, match="is a folder; expected one HDF5 file"):
        existing_file(tmp_path)


def test_a_path_stands_for_two_files_that_exist(tmp_path: Path) -> None:
    (tmp_path / "x-train.h5").touch()
    assert not stands_for_two(tmp_path / "x.h5")
    (tmp_path / "x-test.h5").touch()
    assert [name for name in ("x.h5", "x-train.h5", "x", "y.h5") if stands_for_two(tmp_path / name)] == ["x.h5"]
