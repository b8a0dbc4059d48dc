"""Images in folders: their sizes, unreadable ones, and the test split that is cut where there is none."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import all_pixels, converted, damage, make_folder, only_resident
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


@pytest.mark.parametrize("limit", [1 << 30, 1])
def test_all_bad_files_are_named_at_once(limit: int, tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    for name, content in (("train/bee/3.png", b"no image"), ("train/ant/0.png", b""), ("train/cat/1.png", None)):
        (root / name).write_bytes((root / name).read_bytes()[:200] if content is None else content)
    (root / "test" / "cat" / "2.png").unlink()
    (root / "test" / "cat" / "2.png").symlink_to("nowhere")
    with pytest.raises(UserError, match="4 of 42 images cannot be used; nothing was trained") as refused:
        load_dataset(FOLDER, root, resident_limit=limit)
    lines = str(refused.value).splitlines()[1:5]
    assert [line.split(":")[0] for line in lines] == [
        "  train/ant/0.png", "  train/bee/3.png", "  train/cat/1.png", "  test/cat/2.png"
    ]  # fmt: skip


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


def unsplit_folder(root: Path, count: int = 10, ending: str = "png") -> Path:
    """Class folders without a split, `count` images in each."""
    for path in make_folder(root / "made", train=count, width=40, height=40).glob("train/*"):
        path.rename(root / path.name)
    shutil.rmtree(root / "made")
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            image.save(path.with_suffix(f".{ending}"), lossless=True)  # for WebP
        if ending != "png":
            path.unlink()
    return root


def test_a_test_split_is_cut_alike_from_a_folder_and_from_its_listing(tmp_path: Path) -> None:
    unsplit_folder(tmp_path)
    listing = with_test_split(list_images(tmp_path), FOLDER)
    assert listing.test is not None
    assert (len(listing.train), len(listing.test)) == (24, 6)
    assert listing.notes[-1].startswith("there is no labelled test split: 20% of each class became one")
    data = load_dataset(FOLDER, tmp_path)
    cut = {decode(listing.test.read(index), "").numpy().tobytes() for index in range(6)}
    assert cut == {image.numpy().tobytes() for image in only_resident(data.test).pixels}
    assert with_test_split(listing, FOLDER) is listing


def test_a_class_of_too_few_images_for_three_splits_is_named(tmp_path: Path) -> None:
    unsplit_folder(tmp_path, 3)
    assert load_dataset(FOLDER, tmp_path).manifest.counts == {"train": 3, "validation": 3, "test": 3}
    (tmp_path / "bee" / "0.png").unlink()
    with pytest.raises(UserError, match="class 'bee' has 2 images; at least 3 are needed"):
        load_dataset(FOLDER, tmp_path)


@pytest.mark.parametrize(("ending", "limit"), [("jpg", 1 << 30), ("jpg", 1), ("webp", 1 << 30)])
def test_skipping_is_deleting_where_the_test_split_is_cut(ending: str, limit: int, tmp_path: Path) -> None:
    root = unsplit_folder(tmp_path / "images", ending=ending)
    names = [f"bee/{number}.{ending}" for number in (2, 3, 4)]  # with them, two images of their class would be cut
    for name in names:
        if ending == "jpg":
            (root / name).write_bytes((root / name).read_bytes()[:300])
        else:  # found when it is decoded into memory
            damage(root / name)
    with pytest.raises(UserError, match="3 of 30 images cannot be used"):
        load_dataset(FOLDER, root, resident_limit=limit)
    skipped = load_dataset(FOLDER, root, resident_limit=limit, skip_bad=True)
    assert [image.name for image in skipped.left_out] == names
    converted(root, tmp_path / "x.h5", skip=True)
    for name in names:
        (root / name).unlink()
    deleted = load_dataset(FOLDER, root, resident_limit=limit)
    assert skipped.manifest == deleted.manifest and deleted.manifest.counts["test"] == 5
    assert (skipped.image_size, skipped.sizes, skipped.notes) == (deleted.image_size, deleted.sizes, deleted.notes)
    for one, other in ((skipped.train, deleted.train), (skipped.test, deleted.test)):
        assert one.labels.tolist() == other.labels.tolist()
        assert torch.equal(all_pixels(one), all_pixels(other))
    assert load_dataset(FOLDER, tmp_path / "x.h5").manifest == deleted.manifest


def test_too_few_sound_images_for_three_splits_are_named_with_the_bad_ones(tmp_path: Path) -> None:
    root = unsplit_folder(tmp_path, 3)
    (root / "bee" / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1 of 9 images cannot be used; nothing was trained\n  bee/1\.png: not a"):
        load_dataset(FOLDER, root)
    few = r"class 'bee' has 2 images; at least 3 are needed, .*\n  bee/1\.png: not a readable image"
    with pytest.raises(UserError, match=few):
        load_dataset(FOLDER, root, skip_bad=True)
    with pytest.raises(UserError, match=few):
        with_test_split(list_images(root), FOLDER)
