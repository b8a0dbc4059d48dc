"""Class folders: which folder is the test split, what is left alone, and what is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from image_folders import make_folder, picture

from benchmark.data.layouts.class_folders import CLASS_FOLDERS
from benchmark.data.layouts.contract import Found, Near
from benchmark.data.layouts.find import list_images
from benchmark.errors import UserError

if TYPE_CHECKING:
    from benchmark.data.listing import Listing


def held_out(root: Path, *names: str, classes: tuple[str, ...] = ("ant", "bee", "cat")) -> None:
    for name in names:
        for label in classes:
            (root / name / label).mkdir(parents=True)
            picture(hash(name) % 99).save(root / name / label / "0.png")


def content(listing: Listing) -> tuple[Any, ...]:
    parts = [listing.train, *([listing.test] if listing.test else [])]
    return listing.classes, [(part.labels, list(part.names)) for part in parts]


def test_classes_and_files_are_sorted(tmp_path: Path) -> None:
    listing = list_images(make_folder(tmp_path, train=11, test=1))
    assert listing.classes == ("ant", "bee", "cat")
    names = [Path(name) for name, label in zip(listing.train.names, listing.train.labels, strict=True) if label == 1]
    assert [path.name for path in names] == sorted(f"{number}.png" for number in range(11))
    assert listing.test is not None
    assert [Path(name).relative_to(tmp_path).as_posix() for name in listing.test.names] == [
        "test/ant/0.png", "test/bee/0.png", "test/cat/0.png"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("test", "val"), "test"),
        (("val", "valid"), "val"),
        (("Validation",), "Validation"),
        (("testing", "dev"), "testing"),
    ],
)
def test_the_first_labelled_split_is_the_test_split(tmp_path: Path, names: tuple[str, ...], chosen: str) -> None:
    held_out(tmp_path, "train", *names)
    listing = list_images(tmp_path)
    assert listing.test is not None
    assert {Path(name).parents[1].name for name in listing.test.names} == {chosen}
    spare = [name for name in names if name != chosen]
    assert [note.split("/")[0] for note in listing.notes] == spare


@pytest.mark.parametrize("place", ["test/0.png", "test/unknown/0.png"])
def test_a_test_split_without_labels_is_left_alone(tmp_path: Path, place: str) -> None:
    held_out(tmp_path, "train", "valid")
    (tmp_path / place).parent.mkdir(parents=True)
    picture(0).save(tmp_path / place)
    listing = list_images(tmp_path)
    assert listing.layout == "class folders in train/ and valid/"
    assert listing.notes == ("test/ has no class folders and is left alone",)
    shutil.rmtree(tmp_path / "valid")
    listing = list_images(tmp_path)
    assert listing.test is None
    assert listing.layout == "class folders in train/, without a labelled test split"


def test_a_split_of_other_classes_is_left_alone_beside_a_good_one_and_refused_alone(tmp_path: Path) -> None:
    held_out(tmp_path, "train", "val")
    held_out(tmp_path, "test", classes=("ant", "dog"))
    assert list_images(tmp_path).notes == ("test/ has other classes than train/ and is left alone",)
    shutil.rmtree(tmp_path / "val")
    with pytest.raises(
        UserError, match=r"train: class 'bee', 'cat' is missing from .*test; both need the same classes"
    ):
        list_images(tmp_path)


def test_folders_without_images_and_images_without_folders_are_left_out_of_unsplit_ones(tmp_path: Path) -> None:
    held_out(tmp_path, ".")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "ant.xml").touch()
    picture(1).save(tmp_path / "cover.png")
    listing = list_images(tmp_path)
    assert listing.classes == ("ant", "bee", "cat")
    assert listing.test is None
    assert listing.notes == (
        "left out: 1 file of a type that is not read here (1 .xml), such as annotations/ant.xml",
        "left out: annotations/, without images",
        "left out: 1 images outside class folders, such as cover.png",
    )


def test_hidden_and_foreign_files_and_loops_are_left_out(tmp_path: Path) -> None:
    before = content(list_images(make_folder(tmp_path, train=2, test=1)))
    ant = tmp_path / "train" / "ant"
    (ant / "notes.txt").write_text("no image")
    (ant / ".hidden.png").write_bytes(b"no image")
    (ant / ".cache").mkdir()
    (ant / ".cache" / "0.png").write_bytes(b"no image")
    (tmp_path / "train" / ".DS_Store").mkdir()
    (tmp_path / "train" / "__MACOSX").mkdir()
    (ant / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "train" / "loop").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(ant / "pipe.png")
    assert content(list_images(tmp_path)) == before


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
        (empty(), r"data: has nothing; expected images in one of these layouts\n  class folders: train/<class>/ and"),
        (remove("train"), "data: has test/, but no train/"),
        (empty("train"), "train/ has no class folders"),
        (empty("train", "bee"), "train/bee: no images in this class folder"),
        (empty("test", "bee"), "test/bee: no images in this class folder"),
        (remove("test", "bee"), "train: class 'bee' is missing from .*test"),
        (remove("train", "cat"), "test: class 'cat' is missing from .*train"),
        (surrogate, "missing from|not named in UTF-8"),
    ],
)
def test_missing_folders_and_files_are_named(damage: Any, message: str, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    damage(root)
    with pytest.raises(UserError, match=message):
        list_images(root)


def test_a_single_class_is_nearly_a_dataset(tmp_path: Path) -> None:
    held_out(tmp_path, ".", classes=("ant",))
    verdict = CLASS_FOLDERS.look(tmp_path)
    assert isinstance(verdict, Near) and "has a single class ('ant')" in verdict.reason
    held_out(tmp_path, "train", "test", classes=("ant",))
    assert isinstance(CLASS_FOLDERS.look(tmp_path), Found)
    with pytest.raises(UserError, match="has a single class"):
        list_images(tmp_path)
    assert CLASS_FOLDERS.look(tmp_path / "ant" / "0.png") is None


def test_a_class_that_is_missing_is_named_with_the_nearest(tmp_path: Path) -> None:
    held_out(tmp_path, "train", classes=("airplane", "bird"))
    held_out(tmp_path, "test", classes=("Airplane", "bird"))
    expected = r"class 'airplane' is missing from \S*test \(the nearest to 'airplane' there is 'Airplane'\); both need"
    with pytest.raises(UserError, match=expected):
        list_images(tmp_path)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("train_set", "evaluation"),
        ("Training", "eval"),
        ("training_set/training_set", "test_set/test_set"),
        ("train/images", "test"),
    ],
)
def test_splits_are_known_by_their_names(tmp_path: Path, train: str, test: str) -> None:
    held_out(tmp_path, train, test)
    listing = list_images(tmp_path)
    assert listing.layout == f"class folders in {train}/ and {test}/"
    assert listing.classes == ("ant", "bee", "cat") and listing.test is not None
    assert {Path(name).parents[1].relative_to(tmp_path).as_posix() for name in listing.test.names} == {test}


def test_a_nested_split_that_is_left_alone_is_named_in_full(tmp_path: Path) -> None:
    held_out(tmp_path, "train", "test", "val/images")
    assert list_images(tmp_path).notes == ("val/images/ is left alone: the validation split is cut from train/",)


@pytest.mark.parametrize(
    "folders",
    [
        ("setA", "setB"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("setA/train", "setA/test", "setB/train", "setB/test"),
    ],
)
def test_splits_and_datasets_side_by_side_are_no_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    held_out(tmp_path, *folders)
    (tmp_path / "seg_pred" / "seg_pred").mkdir(parents=True)
    picture(0).save(tmp_path / "seg_pred" / "seg_pred" / "0.png")
    first = sorted({name.split("/")[0] for name in folders})[0]
    with pytest.raises(UserError, match=rf"hold the same folders of images \(.*--data {tmp_path}/{first}\), or rename"):
        list_images(tmp_path)
    assert len(list_images(tmp_path / first).classes) == 3


def test_classes_with_folders_of_their_own_are_read_and_said(tmp_path: Path) -> None:
    held_out(tmp_path, "fruit", classes=("apple", "pear"))
    held_out(tmp_path, "vegetable", classes=("carrot", "leek"))
    held_out(tmp_path, ".", classes=("other",))
    listing = list_images(tmp_path)
    assert listing.classes == ("fruit", "other", "vegetable")
    note = "2 class folders hold images only in deeper folders, such as fruit/apple/; these are images of the class"
    assert listing.notes == (note,)
    held_out(tmp_path / "split", "train/ant", "train/bee", classes=("images",))
    assert list_images(tmp_path / "split").notes == (note.replace("fruit/apple", "train/ant/images"),)
