"""Tables of paths and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from made_layouts import encoded, put

from benchmark.data.examine import examine_all
from benchmark.data.layouts.find import list_images
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def photos(root: Path, folder: str = "", ending: str = ".png") -> None:
    for number in range(4):
        put(root / folder / f"{number}{ending}", encoded(number % 2, number))


@pytest.mark.parametrize(
    ("folder", "cells"),
    [("", "{}.png"), ("photos", "photos/{}.png"), ("photos", "{}.png"), ("photos", "{}")],
)
def test_paths_are_relative_to_the_table_or_to_a_folder_beside_it(tmp_path: Path, folder: str, cells: str) -> None:
    photos(tmp_path, folder)
    lines = [f"{cells.format(number)},{number % 2 + 9}" for number in range(4)]
    put(tmp_path / "labels.csv", "\n".join(["id,label", *lines]))
    listing = list_images(tmp_path / "labels.csv")
    assert listing.classes == ("9", "10")  # by number
    assert listing.train.labels == [0, 1, 0, 1]
    assert listing.train.read(2) == encoded(0, 2)
    assert listing.test is None


def test_absolute_paths(tmp_path: Path) -> None:
    photos(tmp_path / "elsewhere")
    lines = [f"{tmp_path / 'elsewhere' / str(number)}.png,{number % 2}" for number in range(4)]
    put(tmp_path / "tables" / "a.csv", "\n".join(["path,label", *lines]))
    assert len(list_images(tmp_path / "tables" / "a.csv").train) == 4


def test_a_table_of_train_brings_the_one_of_test(tmp_path: Path) -> None:
    photos(tmp_path)
    put(tmp_path / "my_train.csv", "path,label\n0.png,a\n1.png,b\n")
    put(tmp_path / "my_val.csv", "path,label\n2.png,a\n3.png,b\n")
    put(tmp_path / "sample_submission.csv", "id,label\n0,\n")
    for path in (tmp_path, tmp_path / "my_train.csv"):
        listing = list_images(path)
        assert listing.layout == "a table of paths and labels (my_train.csv, my_val.csv)"
        assert listing.test is not None and listing.test.read(1) == encoded(1, 3)
    put(tmp_path / "my_val.csv", "path\n2.png\n")  # no labels
    listing = list_images(tmp_path / "my_train.csv")
    assert listing.test is None
    assert listing.notes[0].startswith("my_val.csv has no column of labels") and "left alone" in listing.notes[0]


def test_splits_beyond_train_and_test_are_left_alone(tmp_path: Path) -> None:
    photos(tmp_path)
    put(tmp_path / "a.csv", "path,label,split\n0.png,a,Train\n1.png,b,train\n2.png,a,test\n3.png,b,val\n")
    listing = list_images(tmp_path / "a.csv")
    assert listing.test is not None and listing.test.labels == [0]
    assert listing.notes == (
        "the 1 rows of the split val are left alone",
        "1 class has no test image: 'b'",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"a\.csv is empty"),
        ("path,label\n", r"a\.csv has no rows"),
        ("path,label\n0.png\n", "row 2 has 1 cells; expected at least 2"),
        ("path,label\n8.png,a\n9.png,b\n", r"none of 2 images exists, such as row 2: '8\.png'.*or absolute$"),
        ("path,label\nx\\8.png,a\n", r"none of 1 images exists.*backslashes, which separate folders on Windows alone$"),
        ("path,label\n0.png,a\n0.png,b\n", r"row 3: '0\.png' appears twice \(first in .*row 2\)"),
        ("path,label\n0.png,a\n1.png,a\n", "has a single class"),
        ("path,label,split\n0.png,a,test\n1.png,b,test\n", "has no row of the split train; its splits are test"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, content: str, message: str) -> None:
    photos(tmp_path)
    put(tmp_path / "a.csv", content)
    with pytest.raises(UserError, match=message):
        list_images(tmp_path / "a.csv")


def test_images_that_do_not_exist_beside_others_are_bad_ones(tmp_path: Path) -> None:
    photos(tmp_path)
    put(tmp_path / "a.csv", "path,label\n0.png,a\n9.png,b\n1.png,b\n")
    listing = list_images(tmp_path / "a.csv")
    examined = list(examine_all([listing.train]))
    assert [bool(one.reason) for one in examined] == [False, True, False]
    assert "No such file" in examined[1].reason


def test_several_tables_are_refused(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    for name in ("a.csv", "b.csv"):
        put(tmp_path / name, "path,label\nphotos/0.png,a\n")
    with pytest.raises(UserError, match=r"several tables of images \(a\.csv, b\.csv\); name one"):
        list_images(tmp_path)
