"""Which files an image folder has, and what is missing from it."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from image_folders import make_folder

from benchmark.data.class_folders import class_files, split_folders
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    pass


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
        (empty("train", "bee"), "train/bee: no images in this class folder"),
        (empty("test", "bee"), "test/bee: no images in this class folder"),
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
