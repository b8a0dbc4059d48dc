"""ImageNet's tree."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from made_layouts import ilsvrc, put

from benchmark.data.layouts.find import list_images
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

_SOLUTION = "LOC_val_solution.csv"


@pytest.mark.parametrize("given", ["", "ILSVRC", "ILSVRC/Data/CLS-LOC"])
@pytest.mark.parametrize("place", ["", "ILSVRC", "ILSVRC/ImageSets", "ILSVRC/ImageSets/CLS-LOC"])
def test_the_tree_is_found_from_several_folders(tmp_path: Path, given: str, place: str) -> None:
    solution = ilsvrc(tmp_path) / _SOLUTION
    target = tmp_path / place / _SOLUTION
    if target != solution:
        shutil.move(solution, target)
    listing = list_images(tmp_path / given)
    assert listing.test is not None
    assert (len(listing.train), listing.test.labels) == (60, [0] * 6 + [1] * 6 + [2] * 6)
    assert listing.notes == ("test/ has no labels and is left alone; val/ is the test split",)


def test_a_sorted_val_needs_no_solution(tmp_path: Path) -> None:
    (ilsvrc(tmp_path) / _SOLUTION).unlink()
    data = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    with pytest.raises(UserError, match=f"has ImageNet's tree, but {_SOLUTION} with the labels of val/ is missing"):
        list_images(tmp_path)
    shutil.rmtree(data / "val")
    shutil.copytree(data / "train", data / "val")
    listing = list_images(tmp_path)
    assert listing.test is not None and listing.test.labels == listing.train.labels


def test_an_unknown_class_is_named(tmp_path: Path) -> None:
    path = ilsvrc(tmp_path) / _SOLUTION
    put(path, path.read_text() + "ILSVRC2012_val_00000018,dog 1 1 2 2\n")
    with pytest.raises(UserError, match=r"line 20 has the class 'dog', which .*train does not have"):
        list_images(tmp_path)
