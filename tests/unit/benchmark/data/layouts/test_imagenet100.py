"""ImageNet-100 as on Kaggle."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from image_folders import make_folder
from made_layouts import imagenet100

from benchmark.data.datasets import load_dataset
from benchmark.data.layouts.find import list_images
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_parts_of_train_are_one_split(tmp_path: Path) -> None:
    data = load_dataset(DatasetSpec(name="folder", size=32), imagenet100(tmp_path / "kaggle"))
    # The same images in train/ and val/ are the same dataset.
    for part in (tmp_path / "kaggle").glob("train.X*/*"):
        shutil.copytree(part, tmp_path / "plain" / "train" / part.name)
    shutil.copytree(tmp_path / "kaggle" / "val.X", tmp_path / "plain" / "val")
    assert load_dataset(DatasetSpec(name="folder", size=32), tmp_path / "plain").manifest == data.manifest


def test_a_missing_val_is_named_and_class_folders_are_not_mistaken_for_it(tmp_path: Path) -> None:
    imagenet100(tmp_path / "kaggle")
    shutil.rmtree(tmp_path / "kaggle" / "val.X")
    with pytest.raises(UserError, match=r"has train\.X1/ as ImageNet-100 on Kaggle, but no val\.X/"):
        list_images(tmp_path / "kaggle")
    assert list_images(make_folder(tmp_path / "plain")).layout == "class folders in train/ and test/"
