"""Images in folders: their sizes, unreadable ones, and the test split that is cut where there is none."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import make_folder, only_resident
from PIL import Image

from benchmark.data.datasets import Dataset, load_dataset
from benchmark.data.decode import decode
from benchmark.data.folder import with_test_split
from benchmark.data.layouts.find import list_images
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

FOLDER = DatasetSpec(name="folder")


REAL = Path(__file__).resolve().parents[5] / "shared" / "data" / "cifar10-jpeg.tar.xz"


def test_folder_at_native_size(tmp_path: Path) -> None:
    data = load_dataset(FOLDER, make_folder(tmp_path))
    assert data.classes == ("ant", "bee", "cat")
    assert data.image_size == 16
    assert data.manifest.counts == {"train": 27, "validation": 3, "test": 12}
    expected = {
        np.asarray(Image.open(path)).transpose(2, 0, 1).tobytes(): data.classes.index(path.parent.name)
        for path in (tmp_path / "test").rglob("*.png")
    }
    actual = {
        image.numpy().tobytes(): label
        for image, label in zip(only_resident(data.test).pixels, data.test.labels.tolist(), strict=True)
    }
    assert actual == expected


def test_larger_images_become_squares(tmp_path: Path) -> None:
    make_folder(tmp_path, train=3, test=1, width=120, height=100)
    data = load_dataset(FOLDER, tmp_path)
    assert data.image_size == 224
    assert only_resident(data.train).pixels.shape == (6, 3, 256, 256)
    small = load_dataset(DatasetSpec(name="folder", size=56), tmp_path)
    assert small.image_size == 56
    assert only_resident(small.train).pixels.shape[-1] == 64


def test_small_images_are_resized_whole(tmp_path: Path) -> None:
    data = load_dataset(DatasetSpec(name="folder", size=32), make_folder(tmp_path, train=3, test=1))
    assert data.image_size == 32
    assert only_resident(data.test).pixels.shape == (3, 3, 32, 32)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for content in (b"no image", b""):
        (root / "train" / "bee" / "3.png").write_bytes(content)
        with pytest.raises(UserError, match=r"train/bee/3\.png: not a readable image"):
            load_dataset(FOLDER, root)


@pytest.mark.parametrize("limit", [1 << 30, 1])
def test_a_truncated_image_is_named(limit: int, tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    path = root / "test" / "cat" / "2.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"test/cat/2\.png: not a readable image"):
        data = load_dataset(FOLDER, root, resident_limit=limit)
        data.test.images.read(torch.arange(len(data.test)))


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="cifar10-jpeg is not at ../shared/data")
def test_cifar10_jpeg(tmp_path: Path) -> None:
    with tarfile.open(REAL) as archive:
        wanted = [member for member in archive if member.isfile() and member.name.endswith("01.jpg")]
        archive.extractall(tmp_path, wanted, filter="data")
    roots = [path.parent for path in tmp_path.rglob("train")]
    data: Dataset = load_dataset(FOLDER, roots[0])
    assert data.image_size == 32
    assert data.classes[0] == "airplane"
    assert data.manifest.counts == {"train": 450, "validation": 50, "test": 100}
    means = data.train.images.read(torch.arange(450)).float().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.491, 0.482, 0.447], abs=0.03)


def test_a_test_split_is_cut_alike_from_a_folder_and_from_its_listing(tmp_path: Path) -> None:
    for path in make_folder(tmp_path / "made").glob("train/*"):
        path.rename(tmp_path / path.name)
    shutil.rmtree(tmp_path / "made")
    listing = with_test_split(list_images(tmp_path), FOLDER)
    assert listing.test is not None
    assert (len(listing.train), len(listing.test)) == (24, 6)
    assert listing.notes[-1].startswith("there is no labelled test split: 20% of each class became one")
    data = load_dataset(FOLDER, tmp_path)
    cut = {decode(listing.test.read(index), "").numpy().tobytes() for index in range(6)}
    assert cut == {image.numpy().tobytes() for image in only_resident(data.test).pixels}
    assert with_test_split(listing, FOLDER) is listing


def test_a_class_of_too_few_images_for_three_splits_is_named(tmp_path: Path) -> None:
    for path in make_folder(tmp_path / "made", train=3).glob("train/*"):
        path.rename(tmp_path / path.name)
    shutil.rmtree(tmp_path / "made")
    assert load_dataset(FOLDER, tmp_path).manifest.counts == {"train": 3, "validation": 3, "test": 3}
    (tmp_path / "bee" / "0.png").unlink()
    with pytest.raises(UserError, match="class 'bee' has 2 images; at least 3 are needed"):
        load_dataset(FOLDER, tmp_path)
