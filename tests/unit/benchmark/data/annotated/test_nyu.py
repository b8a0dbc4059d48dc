"""NYU Depth V2's labelled file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import annotated_files as files
import h5py
import numpy as np
import pytest
import torch

from benchmark.data.annotated.read import on_square
from benchmark.data.datasets import load_dataset
from benchmark.data.decode import canonical
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

SPEC = DatasetSpec(name="annotated", size=28)


def test_images_and_depths_are_turned_and_split_as_published(tmp_path: Path) -> None:
    path = files.nyu(tmp_path / "nyu.mat")
    dataset = load_dataset(SPEC, path)
    assert dataset.manifest.counts == {"train": 4, "validation": 1, "test": 3} and dataset.notes == ()
    known = dataset.test.annotations
    assert known is not None and known.depth is not None
    pixels, depths = dataset.test.images.read(torch.arange(3)), known.depth(torch.arange(3))
    with h5py.File(path) as file:
        for number in (5, 6, 7):  # the last three, in another order
            image = torch.from_numpy(np.ascontiguousarray(file["images"][number].transpose(0, 2, 1)))
            square = canonical(image, 32)
            (position,) = [i for i in range(3) if torch.equal(pixels[i], square)]
            assert torch.equal(depths[position], on_square(torch.from_numpy(file["depths"][number].T), 32, whole=False))


def test_without_the_published_split_one_is_cut(tmp_path: Path) -> None:
    dataset = load_dataset(SPEC, files.nyu(tmp_path / "nyu.mat", 20, official=False))
    assert dataset.manifest.counts["test"] == 4 and "there is no splits.mat beside the file" in dataset.notes[0]


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("depths", (7, 40, 30), r"'depths' has \(7, 40, 30\); expected uint8 of N x 3 x W x H and N x W x H"),
        ("images", (20_000, 3, 2, 2), "'images' declares 20,000 x 3 x 2 x 2 values; expected at most 10,000 images"),
        ("images", (10**12, 3, 40, 30), "'/images' declares [0-9,]+ bytes, and the file holds 0 of them"),
    ],
)
def test_what_a_file_declares_is_checked_before_it_is_read(
    tmp_path: Path, name: str, shape: tuple[int, ...], message: str
) -> None:
    path = files.nyu(tmp_path / "nyu.mat", 8)
    with h5py.File(path, "r+") as file:
        del file[name]
        content = np.zeros(shape, np.uint8) if len(shape) == 3 or shape[0] < 10**6 else None
        file.create_dataset(name, shape, np.uint8, data=content, chunks=(1, *shape[1:]))
    with pytest.raises(UserError, match=message):
        load_dataset(SPEC, path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(UserError, match=r"a\.mat: not an HDF5 file, as NYU Depth V2's labelled \.mat is"):
        load_dataset(SPEC, tmp_path / "a.mat")
    with h5py.File(tmp_path / "b.mat", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(UserError, match=r"b\.mat: has no array 'images' of 4 dimensions"):
        load_dataset(SPEC, tmp_path / "b.mat")
    path = files.nyu(tmp_path / "c.mat", 8)
    (tmp_path / "splits.mat").write_bytes(b"no")
    with pytest.raises(UserError, match=r"splits\.mat: not the split of NYU Depth V2"):
        load_dataset(SPEC, path)
