"""Image folders: their files, what is missing from them, and their splits."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_folders import make_folder, only_resident
from PIL import Image

from benchmark.data.datasets import Dataset, load_dataset
from benchmark.data.folder import class_files, split_folders
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


def test_classes_and_files_are_sorted(tmp_path: Path) -> None:
    classes, (train, test) = class_files(*split_folders(make_folder(tmp_path, train=11, test=1)))
    assert classes == ["ant", "bee", "cat"]
    assert [path.name for path in train[1]] == sorted(f"{number}.png" for number in range(11))
    assert [[path.relative_to(tmp_path).as_posix() for path in files] for files in test] == [
        ["test/ant/0.png"], ["test/bee/0.png"], ["test/cat/0.png"]
    ]  # fmt: skip


def test_val_is_the_test_split_only_without_test(tmp_path: Path) -> None:
    make_folder(tmp_path, train=1, test=1, held_out="val")
    assert split_folders(tmp_path) == (tmp_path / "train", tmp_path / "val")
    (tmp_path / "test").mkdir()
    assert split_folders(tmp_path) == (tmp_path / "train", tmp_path / "test")


def test_hidden_and_foreign_files_and_loops_are_left_out(tmp_path: Path) -> None:
    before = class_files(*split_folders(make_folder(tmp_path, train=2, test=1)))
    ant = tmp_path / "train" / "ant"
    (ant / "notes.txt").write_text("no image")
    (ant / ".hidden.png").write_bytes(b"no image")
    (ant / ".cache").mkdir()
    (ant / ".cache" / "0.png").write_bytes(b"no image")
    (tmp_path / "train" / ".DS_Store").mkdir()
    (ant / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "train" / "loop").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(ant / "pipe.png")
    assert class_files(*split_folders(tmp_path)) == before


def remove(*parts: str) -> Any:
    return lambda root: shutil.rmtree(root.joinpath(*parts))


def empty(*parts: str) -> Any:
    def clear(root: Path) -> None:
        for path in root.joinpath(*parts).iterdir():
            path.unlink() if path.is_file() else shutil.rmtree(path)

    return clear


def surrogate(root: Path) -> None:
    (root / "train" / os.fsdecode(b"\xff")).mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove(), "data: no such folder"),
        (empty(), r"data: has no train/ \(it has: nothing\)"),
        (remove("train"), r"data: has no train/ \(it has: test\)"),
        (remove("test"), "data: has neither test/ nor val/"),
        (empty("train"), "train: has no class folders"),
        (empty("train", "bee"), "train/bee: no images in this folder"),
        (empty("test", "bee"), "test/bee: no images in this folder"),
        (remove("test", "bee"), "train: class 'bee' is missing from .*test"),
        (remove("train", "cat"), "test: class 'cat' is missing from .*train"),
        (surrogate, "is not named in UTF-8"),
    ],
)
def test_missing_folders_and_files_are_named(damage: Any, message: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    damage(root)
    with pytest.raises(UserError, match=message):
        class_files(*split_folders(root))
