"""HDF5 files as a source of splits, also those of CNN-JEPA's own converter."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
import torch
from image_folders import all_pixels, converted, rewritten
from PIL import Image

from benchmark.data.datasets import load_dataset
from benchmark.data.hdf5.format import Container
from benchmark.data.hdf5.inspect import unsound
from benchmark.data.hdf5.paths import split_paths
from benchmark.data.hdf5.source import NumberedFiles, open_any
from benchmark.data.spec import DatasetSpec
from benchmark.data.splits import checksum
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


def test_a_folder_and_its_numbered_files_are_the_same_images(folder: Path, tmp_path: Path) -> None:
    for split, held in (("train", "train"), ("val", "val")):
        files = [(path, label) for label, n in enumerate(("ant", "bee")) for path in (folder / held / n).iterdir()]
        with h5py.File(tmp_path / f"{split}.h5", "w") as file:
            for number, (path, label) in enumerate(files):
                file[f"images/{number}"] = np.frombuffer(path.read_bytes(), dtype=np.uint8)
                file[f"labels/{number}"] = label
    assert split_paths(tmp_path) == (tmp_path / "train.h5", tmp_path / "val.h5")
    dataset = load_dataset(DatasetSpec(name="hdf5", size=16), tmp_path / "train.h5")
    same = load_dataset(DatasetSpec(name="folder", size=16), folder)
    assert dataset.classes == ("0", "1")
    assert torch.equal(all_pixels(dataset.test), all_pixels(same.test))
    numbered = open_any(tmp_path / "train.h5")
    assert isinstance(numbered, NumberedFiles) and not list(unsound(numbered))


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"images/0": 1}, "has no group 'labels'; there are: images"),
        ({"images/0": 1, "images/1": 1, "labels/0": 0}, "2 images and 1 labels"),
        ({"images/1": 1, "labels/0": 0}, "images have to be numbered from 0 to 0"),
        ({"images/0": 1, "labels/7": 0}, "images and labels have to be numbered from 0"),
        ({"images/0": 1, "labels/0": 0.5}, "images and labels have to be numbered from 0"),
        ({"images/0": 1, "labels/0": -1}, "labels from -1 to -1; expected 0 to 999999"),
    ],
)
def test_files_of_another_shape_are_refused(datasets: dict[str, float], message: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        for name, value in datasets.items():
            file[name] = value
    with pytest.raises(UserError, match=message):
        NumberedFiles(tmp_path / "odd.h5")


def test_checksums_find_the_sizes_and_unreadable_images(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 30)).save(buffer, format="PNG")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number, content in enumerate((buffer.getvalue(), b"no image")):
            file[f"images/{number}"] = np.frombuffer(content, dtype=np.uint8)
            file[f"labels/{number}"] = 2 * number
    numbered = NumberedFiles(tmp_path / "x.h5")
    assert numbered.checksums() == [checksum(buffer.getvalue()), checksum(b"no image")]
    assert numbered.sizes_N2.tolist() == [[30, 20], [0, 0]]
    assert numbered.classes == ("0", "1", "2") and numbered.labels_N.tolist() == [0, 2]
