"""Which layout a path is of, where several fit or none does."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from image_folders import converted, make_folder
from made_layouts import put, rows, split, tiny_imagenet, unsplit

from benchmark.data.datasets import load_dataset
from benchmark.data.layouts.find import find_hdf5, find_layout, list_images
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sure_layout_wins_over_others(tmp_path: Path) -> None:
    split(tmp_path, test="test")
    put(tmp_path / "labels.csv", "path,label\ntrain/ant/0.png,ant\n")  # metadata beside complete class folders
    assert find_layout(tmp_path).what == "class folders in train/ and test/"
    assert find_layout(tmp_path / "labels.csv").what == "a table of paths and labels (labels.csv)"


def test_damaged_files_of_other_layouts_do_not_hide_a_layout(tmp_path: Path) -> None:
    unsplit(tmp_path)
    for name in ("labels.csv", "train.parquet", "photos.tar", "x-train.h5"):
        put(tmp_path / name, b"\xff\xfe nothing")
    assert find_layout(tmp_path).what == "class folders without a split"
    put(tmp_path / "other" / "labels.csv", b"\xff\xfe")
    with pytest.raises(UserError, match=r"not a table in UTF-8.* \(looked for: class folders, Tiny-ImageNet, "):
        find_layout(tmp_path / "other")


def test_two_layouts_are_refused_with_the_paths_to_choose_from(tmp_path: Path) -> None:
    unsplit(tmp_path)
    put(tmp_path / "labels.csv", "path,label\nant/0.png,ant\n")
    expected = f"{tmp_path}: holds several layouts.*without a split: --data {tmp_path}; .*--data {tmp_path}/labels.csv"
    with pytest.raises(UserError, match=expected):
        find_layout(tmp_path)


def test_hdf5_files_are_found_by_their_ending_and_in_a_folder(tmp_path: Path) -> None:
    converted(make_folder(tmp_path / "images"), tmp_path / "files" / "x.h5")
    for path in (tmp_path / "files", tmp_path / "files" / "x.h5", tmp_path / "files" / "x-train.h5"):
        for find in (find_layout, find_hdf5):
            found = find(path)
            assert (found.what, found.list) == ("HDF5 files (x-train.h5, x-test.h5)", None)
    with pytest.raises(UserError, match="lie in HDF5 files already"):
        list_images(tmp_path / "files")
    assert find_hdf5(tmp_path / "images").what == "class folders in train/ and test/"
    shutil.move(tmp_path / "images" / "train", tmp_path / "files" / "train")
    shutil.move(tmp_path / "images" / "test", tmp_path / "files" / "test")
    assert find_hdf5(tmp_path / "files").list is None
    assert find_layout(tmp_path / "files").list is not None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.h5", r"x\.h5: .*x-train\.h5 does not exist"),
        ("nowhere", "nowhere: no such folder or file"),
        ("photos.zip", r"photos\.zip: is an archive; unpack it"),
        ("notes.txt", r"notes\.txt: is a file of another kind; expected images in one of these layouts"),
        (
            "folder",
            r"folder: has a\.txt, b/; expected images in one of these layouts\n  class folders: (.*\n)*  WebDataset: ",
        ),
    ],
)
def test_a_path_of_no_layout(tmp_path: Path, name: str, message: str) -> None:
    put(tmp_path / "photos.zip")
    put(tmp_path / "notes.txt")
    put(tmp_path / "folder" / "a.txt")
    put(tmp_path / "folder" / "b" / "c.txt")
    with pytest.raises(UserError, match=message):
        find_layout(tmp_path / name)


def test_what_is_certainly_of_a_layout_but_incomplete_is_not_read_as_another(tmp_path: Path) -> None:
    (tiny_imagenet(tmp_path) / "val" / "val_annotations.txt").unlink()
    with pytest.raises(UserError, match=r"val/val_annotations\.txt with the labels of val/images/ is missing"):
        find_layout(tmp_path)
    assert find_layout(tmp_path / "train").what == "class folders without a split"


def test_a_folder_with_one_folder_of_images_and_a_table_is_the_tables(tmp_path: Path) -> None:
    lines = [",".join(row) for row in rows(tmp_path)]
    put(tmp_path / "labels.csv", "\n".join(["file,label,split", *lines]))
    assert find_layout(tmp_path).what == "a table of paths and labels (labels.csv)"


def test_a_folder_around_a_dataset_is_gone_into(tmp_path: Path) -> None:
    wrap, inner = tmp_path / "wrap", tmp_path / "wrap" / "mydata" / "dataset"
    split(inner, test="test")
    put(wrap / "README.txt")
    put(wrap / ".cache" / "0.png")
    put(wrap / "mydata" / "__MACOSX" / "0.png")
    listing, direct = list_images(wrap), list_images(inner)
    assert find_layout(wrap).what == listing.layout == f"{direct.layout}, in dataset/, in mydata/"
    assert (listing.train.names, listing.classes, listing.root) == (direct.train.names, direct.classes, inner)
    shutil.rmtree(inner / "test")
    shutil.rmtree(inner / "train" / "bee")
    shutil.rmtree(inner / "train" / "cat")
    with pytest.raises(UserError, match=r"has a single class \('ant'\)"):
        list_images(wrap)


def test_what_is_wrong_with_a_dataset_is_said_of_the_folder_around_it(tmp_path: Path) -> None:
    for name in ("setA", "setB"):
        unsplit(tmp_path / "mydata" / name)
    with pytest.raises(UserError, match=f"^{tmp_path}/mydata: setA/ and setB/ hold the same folders of images"):
        find_layout(tmp_path)


def test_hdf5_files_in_a_folder_in_a_folder_are_read(tmp_path: Path) -> None:
    converted(make_folder(tmp_path / "images"), tmp_path / "wrap" / "files" / "x.h5")
    dataset = load_dataset(DatasetSpec(name="folder"), tmp_path / "wrap")
    assert dataset.layout == "HDF5 files (x-train.h5, x-test.h5), in files/"
