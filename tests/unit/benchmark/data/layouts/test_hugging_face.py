"""Datasets of the library `datasets`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from made_layouts import image_parquet, images, put, saved_to_disk, split

from benchmark.data.datasets import load_dataset
from benchmark.data.layouts import hugging_face
from benchmark.data.layouts.find import list_images
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow", reason="needs the extra arrow")
FOLDER = DatasetSpec(name="folder")


def test_they_are_the_same_dataset_as_a_folder_of_the_images(tmp_path: Path) -> None:
    expected = load_dataset(FOLDER, split(tmp_path / "folder", test="test")).manifest
    assert load_dataset(FOLDER, saved_to_disk(tmp_path / "saved")).manifest == expected
    assert load_dataset(FOLDER, image_parquet(tmp_path / "parquet")).manifest == expected


def test_one_split_and_one_file_have_no_test_split(tmp_path: Path) -> None:
    saved = list_images(saved_to_disk(tmp_path / "saved") / "train")
    assert (len(saved.train), saved.test) == (60, None)
    file = list_images(image_parquet(tmp_path / "parquet") / "data" / "train-00000-of-00001.parquet")
    assert (len(file.train), file.test) == (60, None)


@pytest.mark.parametrize("kept", [1 << 30, 1])
def test_row_groups_are_read_in_any_order_and_kept_where_they_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(hugging_face, "KEPT_BYTES", kept)
    listing = list_images(image_parquet(tmp_path))
    assert bool(listing.notes) == (kept == 1)
    expected = [content for _, _, content in images("train")]
    assert [listing.train.read(row) for row in range(60)] == expected
    assert [listing.train.read(row) for row in (59, 0, 30)] == [expected[row] for row in (59, 0, 30)]


def test_a_dataset_without_train_is_refused(tmp_path: Path) -> None:
    put(saved_to_disk(tmp_path) / "dataset_dict.json", json.dumps({"splits": ["test", "extra"]}))
    with pytest.raises(UserError, match="has no split 'train'; its splits are test, extra"):
        list_images(tmp_path)


def test_damaged_and_differing_parts_are_named(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    put(saved_to_disk(tmp_path / "saved") / "test" / "state.json", "{")
    with pytest.raises(UserError, match=r"test/state\.json: is damaged; it has no '_data_files'"):
        list_images(tmp_path / "saved")
    other = image_parquet(tmp_path / "parquet") / "data" / "validation-00000-of-00001.parquet"
    parquet.write_table(arrow.table({"image": [b"a"], "label": [0]}), other)  # without the classes' names
    with pytest.raises(UserError, match=r"validation-0.*: has other columns or classes than .*train-0"):
        list_images(tmp_path / "parquet")


def test_splits_beyond_train_and_test_are_left_alone(tmp_path: Path) -> None:
    put(saved_to_disk(tmp_path) / "dataset_dict.json", json.dumps({"splits": ["train", "validation", "test"]}))
    assert list_images(tmp_path).notes == ("the split validation is left alone",)
