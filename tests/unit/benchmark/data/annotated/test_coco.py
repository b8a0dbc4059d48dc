"""COCO's files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import annotated_files as files
import pytest
import torch

from benchmark.data.annotated import coco as module
from benchmark.data.datasets import load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

SPEC = DatasetSpec(name="coco2017", size=28)


def _coco(root: Path, count: int = 6) -> Path:
    """Images of 48 x 36 pixels with a square of kind 7 and, in the first, a crowd of kind 3; the last has nothing."""
    for number, split in enumerate(("train2017", "val2017")):
        images, marks = [], []
        for index in range(count):
            name = f"{100 * number + index:012}.jpg"
            files.picture(root / split / name, 100 * number + index)
            images.append({"id": index + 1, "file_name": name, "width": 48, "height": 36})
            if index < count - 1:
                square = [10.0, 9.0, 22.0, 9.0, 22.0, 21.0, 10.0, 21.0]
                marks.append({"id": len(marks) + 1, "image_id": index + 1, "category_id": 7, "iscrowd": 0,
                              "bbox": [10.0, 9.0, 12.0, 12.0], "area": 144.0, "segmentation": [square]})  # fmt: skip
        runs = {"size": [36, 48], "counts": [0, 36 * 48]}
        marks.append({"id": 99, "image_id": 1, "category_id": 3, "iscrowd": 1, "bbox": [0.0, 0.0, 48.0, 36.0],
                      "area": 1728.0, "segmentation": runs})  # fmt: skip
        kinds = [{"id": 7, "name": "dog"}, {"id": 3, "name": "car"}]
        (root / "annotations").mkdir(exist_ok=True)
        content = {"images": images, "annotations": marks, "categories": kinds}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def test_boxes_masks_and_crowds(tmp_path: Path) -> None:
    dataset = load_dataset(SPEC, _coco(tmp_path))
    known = dataset.test.annotations
    assert known is not None and known.objects is not None and known.label_map is None
    assert known.object_names == ("car", "dog") and len(dataset.test) == 6
    found = sorted(known.objects(torch.arange(6)), key=lambda one: len(one.boxes))
    assert [len(one.boxes) for one in found] == [0, 1, 1, 1, 1, 2]
    one = found[1]
    assert one.masks is not None and one.labels.tolist() == [1]
    # 48 x 36 becomes 43 x 32, of which the middle 32 columns are kept.
    assert one.boxes[0].tolist() == pytest.approx(
        [10 * 43 / 48 - 5, 8.0, 22 * 43 / 48 - 5, 9 * 32 / 36 + 12 * 32 / 36], abs=0.01
    )
    rows, columns = one.masks[0].any(1).nonzero(), one.masks[0].any(0).nonzero()
    assert abs(int(columns.min()) - float(one.boxes[0, 0])) < 1.5 and abs(int(rows.min()) - 8) < 1.5
    crowd = found[-1].crowd
    assert crowd is not None and sorted(crowd.tolist()) == [False, True]


def test_missing_and_damaged_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="dataset 'coco2017' is not at"):
        load_dataset(SPEC, tmp_path)
    _coco(tmp_path)
    (tmp_path / "annotations/instances_val2017.json").write_text("[]")
    with pytest.raises(UserError, match=r"instances_val2017\.json: not COCO's annotations"):
        load_dataset(SPEC, tmp_path)
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs pycocotools: pip install 'cnn-jepa-bench\[detection\]'"):
        load_dataset(SPEC, tmp_path)
