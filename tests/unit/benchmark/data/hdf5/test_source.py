"""HDF5 files as a source of splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
import torch
from image_folders import all_pixels, converted, rewritten

from benchmark.data.datasets import load_dataset
from benchmark.data.hdf5.format import Container
from benchmark.data.hdf5.numbered import NumberedFiles
from benchmark.data.hdf5.source import open_any
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("lazy", [False, True])
def test_the_same_images_are_the_same_dataset_in_either_container(folder: Path, tmp_path: Path, lazy: bool) -> None:
    converted(folder, tmp_path / "x.h5")
    limit = 0 if lazy else 1 << 30
    of_folder = load_dataset(DatasetSpec(name="folder", size=16), folder, resident_limit=limit)
    of_files = load_dataset(DatasetSpec(name="hdf5", size=16), tmp_path / "x.h5", resident_limit=limit)
    assert of_folder.manifest == of_files.manifest and of_folder.classes == of_files.classes
    for name in ("train", "validation", "test"):
        mine, theirs = getattr(of_folder, name), getattr(of_files, name)
        assert torch.equal(mine.labels, theirs.labels)
        assert torch.equal(all_pixels(mine), all_pixels(theirs))


def test_files_without_digest_are_the_same_dataset(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    for split in ("train", "test"):
        with h5py.File(tmp_path / f"x-{split}.h5", "r+") as file:
            del file.attrs["digest"]
    of_folder = load_dataset(DatasetSpec(name="folder", size=16), folder)
    of_files = load_dataset(DatasetSpec(name="hdf5", size=16), tmp_path)
    assert of_folder.manifest == of_files.manifest


def test_files_of_other_classes_do_not_belong_together(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    rewritten(tmp_path / "x-test.h5", classes=["ant", "wasp"])
    with pytest.raises(UserError, match=r"x-train\.h5 and .*x-test\.h5: their classes differ; convert them together"):
        load_dataset(DatasetSpec(name="hdf5"), tmp_path / "x.h5")


def test_the_layout_of_a_file_is_recognised(folder: Path, tmp_path: Path) -> None:
    converted(folder, tmp_path / "x.h5")
    assert isinstance(open_any(tmp_path / "x-train.h5"), Container)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["something"] = 1
    with pytest.raises(UserError, match="HDF5, but not a file that `bench data convert` wrote"):
        open_any(tmp_path / "other.h5")
    with h5py.File(tmp_path / "numbered.h5", "w") as file:
        file["images/0"], file["labels/0"] = np.zeros(1, np.uint8), 0
    assert isinstance(open_any(tmp_path / "numbered.h5"), NumberedFiles)


def test_an_unreadable_image_of_a_numbered_file_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        with h5py.File(tmp_path / f"{split}.h5", "w") as file:
            file["images/0"], file["labels/0"] = np.zeros(1, np.uint8), 0
    with pytest.raises(UserError, match=r"train\.h5, image 0: not a readable image"):
        load_dataset(DatasetSpec(name="hdf5"), tmp_path)
