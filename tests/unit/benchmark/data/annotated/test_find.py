"""Layouts of annotated images, found by names."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import annotated_files as files
import numpy as np
import pytest

from benchmark.data.annotated.find import find_annotated
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_images_masks_and_depths_with_splits_inside_or_outside_or_none(tmp_path: Path) -> None:
    found = find_annotated(files.folders(tmp_path / "a"))
    assert found is not None and found.test is not None
    assert found.what == "images with masks and depths" and len(found.train) == len(found.test) == 6
    for item in (*found.train, *found.test):
        assert item.label_map is not None and item.depth is not None
        assert item.image.stem == item.label_map.stem == item.depth.stem
        assert item.image.parent.name == item.label_map.parent.name == item.depth.parent.name
    for split in ("train", "val"):
        files.picture(tmp_path / "b" / split / "images" / "x.png", 0)
        files.grey(tmp_path / "b" / split / "labels" / "x.png", files.labels_of(0))
    outside = find_annotated(tmp_path / "b")
    assert outside is not None and outside.test is not None and outside.what == "images with masks"
    assert outside.test[0].image.parent.parent.name == "val"
    files.picture(tmp_path / "c" / "images" / "x.png", 0)
    (tmp_path / "c" / "depth").mkdir()
    np.save(tmp_path / "c" / "depth" / "x.npy", np.ones((36, 48)))
    (tmp_path / "c" / "labels.txt").write_text("wall\nfloor\n\n")
    whole = find_annotated(tmp_path / "c")
    assert whole is not None and whole.test is None and whole.what == "images with depths"
    assert whole.train[0].depth is not None and whole.train[0].depth.suffix == ".npy"
    assert whole.label_names == ("wall", "floor")


def test_ade20k_ignores_what_is_none_of_its_labels(tmp_path: Path) -> None:
    for split in ("training", "validation"):
        files.picture(tmp_path / "images" / split / "ADE_1.jpg", 0)
        files.grey(tmp_path / "annotations" / split / "ADE_1.png", files.labels_of(0))
    found = find_annotated(tmp_path)
    assert found is not None and found.values is not None
    assert found.what == "ADE20K's images/ and annotations/" and len(found.label_names) == 150
    assert 0 not in found.values and found.values[1] == 0 and found.values[150] == 149


def test_cityscapes_has_nineteen_labels(tmp_path: Path) -> None:
    for split in ("train", "val"):
        files.picture(tmp_path / "leftImg8bit" / split / "ulm" / "ulm_1_leftImg8bit.png", 0)
        files.grey(tmp_path / "gtFine" / split / "ulm" / "ulm_1_gtFine_labelIds.png", files.labels_of(0))
    found = find_annotated(tmp_path)
    assert found is not None and found.values is not None and len(found.label_names) == 19
    assert sorted(found.values.values()) == list(range(19))
    assert found.label_names[found.values[26]] == "car" and found.label_names[found.values[24]] == "person"


def test_a_missing_mask_is_named_and_counted(tmp_path: Path) -> None:
    files.folders(tmp_path)
    (tmp_path / "masks/train/3.png").unlink()
    with pytest.raises(UserError, match=r"1 of 6 images lack their mask or depth, such as .*masks/train/3\.png"):
        find_annotated(tmp_path)


def test_what_is_expected_is_said(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "x.txt").touch()
    for path, message in (
        (tmp_path, r"has cats.*expected images/ beside masks/"),
        (tmp_path / "x.txt", "is a file of another kind; expected images/ beside"),
        (tmp_path / "none", "no such folder or file"),
    ):
        with pytest.raises(UserError, match=message):
            find_annotated(path)


def test_finding_imports_neither_torch_nor_an_image_library(tmp_path: Path) -> None:
    files.folders(tmp_path)
    code = (
        "import sys; from pathlib import Path; from benchmark.data.annotated.find import find_annotated; "
        f"find_annotated(Path({str(tmp_path)!r})); print({{'torch', 'PIL', 'h5py', 'numpy'}} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
