"""Files of CNN-JEPA's own converter."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
import torch
from image_folders import all_pixels
from PIL import Image

from benchmark.data.datasets import load_dataset
from benchmark.data.hdf5.inspect import unsound
from benchmark.data.hdf5.numbered import NumberedFiles
from benchmark.data.hdf5.paths import split_paths
from benchmark.data.hdf5.source import open_any
from benchmark.data.spec import DatasetSpec
from benchmark.data.splits import checksum
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


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
