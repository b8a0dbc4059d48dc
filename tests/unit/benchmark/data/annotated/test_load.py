"""Annotated datasets, loaded as any other, with splits and annotations that belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import annotated_files as files
import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.data.annotations import IGNORE
from benchmark.data.datasets import Dataset, Split, load_dataset
from benchmark.data.registry import check_classified
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def _load(path: Path, name: str = "annotated", **settings: float) -> Dataset:
    return load_dataset(DatasetSpec(name=name, size=28, **settings), path)  # type: ignore[arg-type]


def _splits(dataset: Dataset) -> list[Split]:
    return [dataset.train, dataset.validation, dataset.test]


def test_label_maps_and_depths_belong_to_their_images(tmp_path: Path) -> None:
    """Each image's grey value is that of its mask, so that every pair can be checked after all draws."""
    for split, count in (("train", 12), ("val", 5)):
        for index in range(count):
            value = index + (100 if split == "val" else 0)
            path = tmp_path / "images" / split / f"{index}.png"
            files.picture(path, value)
            flat = np.full((36, 48), value, np.uint8)
            Image.fromarray(np.stack([flat] * 3, -1)).save(path)
            files.grey(tmp_path / "masks" / split / f"{index}.png", flat)
            files.grey(tmp_path / "depth" / split / f"{index}.png", flat.astype(np.uint16) * 100)
    dataset = _load(tmp_path)
    assert [len(split) for split in _splits(dataset)] == [11, 1, 5]
    assert dataset.layout == "images with masks and depths" and len(dataset.classes) == 1
    for split in _splits(dataset):
        order = torch.arange(len(split)).flip(0)
        known = split.annotations
        assert known is not None and known.label_map is not None and known.depth is not None
        pixels, maps, depths = split.images.read(order), known.label_map(order), known.depth(order)
        assert maps.shape == (len(split), 32, 32) and maps.dtype == torch.uint8
        assert torch.equal(pixels[:, 0], maps)
        assert torch.allclose(depths, maps.float() / 10)
        assert known.objects is None and len(known.label_names) == 105


def test_a_test_split_is_cut_where_there_is_none(tmp_path: Path) -> None:
    for index in range(20):
        files.picture(tmp_path / "images" / f"{index}.png", index)
        files.grey(tmp_path / "masks" / f"{index}.png", files.labels_of(index))
    dataset = _load(tmp_path, test_share=0.25)
    assert len(dataset.test) == 5 and "25% of each class became one" in dataset.notes[0]


def test_voc_2012_by_torchvision(tmp_path: Path) -> None:
    files.voc(tmp_path)
    dataset = _load(tmp_path, "voc2012")
    known = dataset.test.annotations
    assert known is not None and known.label_map is not None and known.objects is not None
    assert len(known.label_names) == 21 and len(dataset.test) == 6
    maps, (found, *_) = known.label_map(torch.tensor([0])), known.objects(torch.tensor([0]))
    assert maps.unique().tolist() == [0, 15, IGNORE]
    assert [known.object_names[label] for label in found.labels] == ["person", "dog"]
    left, top, right, bottom = found.boxes[0].round().int().tolist()
    inside = maps[0] == 15  # the box and the mask are drawn at the same place
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    assert abs(int(columns.min()) - left) <= 1 and abs(int(columns.max()) + 1 - right) <= 1
    assert abs(int(rows.min()) - top) <= 1 and abs(int(rows.max()) + 1 - bottom) <= 1
    boxes = _load(tmp_path, "voc2012-detection").train.annotations
    assert boxes is not None and boxes.label_map is None and boxes.objects is not None


def test_voc_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset 'voc2012' is not at .*pass --download to fetch it"):
        _load(tmp_path, "voc2012")


def test_counts_are_factors(tmp_path: Path) -> None:
    dataset = _load(files.clevr(tmp_path, 10))
    assert sorted(torch.cat([dataset.train.factors["count"], dataset.validation.factors["count"]]).tolist()) == list(
        map(float, range(3, 13))
    )
    assert dataset.test.annotations is not None and dataset.test.annotations.label_map is None


def test_a_mask_of_another_size_is_refused_when_it_is_read(tmp_path: Path) -> None:
    files.folders(tmp_path)
    files.grey(tmp_path / "masks/val/2.png", files.labels_of(0, (40, 36)))
    known = _load(tmp_path).test.annotations
    assert known is not None and known.label_map is not None
    with pytest.raises(UserError, match=r"masks/val/2\.png: is 40 x 36 pixels; expected 48 x 36, the size of .*2\.jpg"):
        known.label_map(torch.arange(6))


def test_bad_images_are_left_out_with_their_annotations(tmp_path: Path) -> None:
    files.folders(tmp_path, count=8)
    (tmp_path / "images/train/3.jpg").write_bytes(b"no image")
    dataset = load_dataset(DatasetSpec(name="annotated", size=28), tmp_path, skip_bad=True)
    assert len(dataset.train) + len(dataset.validation) == 7
    assert dataset.train.annotations is not None and dataset.train.annotations.label_map is not None
    assert len(dataset.train.annotations.label_map(torch.arange(len(dataset.train)))) == len(dataset.train)


def test_images_without_classes_are_for_finished_runs_alone() -> None:
    with pytest.raises(ValueError, match="'voc2012' has no classes to train on or to probe; it is for finished runs"):
        check_classified("voc2012")
    check_classified("shapes")
