"""Label maps, depths and boxes of files, on the square of their image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import annotated_files as files
import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.data.annotated.read import (
    as_labels,
    boxes_on_square,
    on_square,
    read_depth,
    read_map,
    read_voc_objects,
)
from benchmark.data.annotations import IGNORE, Objects
from benchmark.data.decode import canonical, resized
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_maps_of_one_value_a_pixel_are_read_as_they_are(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [250, 7, 255]], np.uint8)
    assert read_map(files.grey(tmp_path / "grey.png", values)).tolist() == values.tolist()
    palette = Image.fromarray(values, mode="P")
    palette.putpalette(list(range(256)) * 3)
    palette.save(tmp_path / "palette.png")
    assert read_map(tmp_path / "palette.png").tolist() == values.tolist()
    deep = (values.astype(np.uint16) * 200).astype(np.uint16)
    assert read_map(files.grey(tmp_path / "deep.png", deep)).tolist() == deep.tolist()


def test_what_is_no_label_map_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png: a label map in colours \(RGB\); expected one value a pixel"):
        read_map(files.picture(tmp_path / "a.png", 0))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    with pytest.raises(UserError, match=r"b\.png: not a readable label map"):
        read_map(tmp_path / "b.png")


def test_values_become_labels(tmp_path: Path) -> None:
    values = torch.tensor([[0, 3, 255, 70_000]])
    assert as_labels(values, {3: 1, 255: 0}, 2, tmp_path).tolist() == [[IGNORE, 1, 0, IGNORE]]
    assert as_labels(values[:, :3], None, 4, tmp_path).tolist() == [[0, 3, IGNORE]]
    with pytest.raises(UserError, match=r"has the value 3; expected 0 to 2, or 255 to be ignored"):
        as_labels(values[:, :3], None, 3, tmp_path)


def test_depths_are_metres_and_unknown_ones_zero(tmp_path: Path) -> None:
    png = files.grey(tmp_path / "d.png", np.array([[0, 1500, 65535]], np.uint16))
    assert read_depth(png)[0].tolist() == pytest.approx([0.0, 1.5, 65.535], rel=1e-6)
    np.save(tmp_path / "d.npy", np.array([[np.nan, 2.5, -1.0, np.inf]]))
    assert read_depth(tmp_path / "d.npy").tolist() == [[0.0, 2.5, 0.0, 0.0]]
    np.save(tmp_path / "e.npy", np.zeros((2, 2, 3)))
    with pytest.raises(UserError, match=r"e\.npy: an array of float64 \(2, 2, 3\); expected numbers \(rows, columns\)"):
        read_depth(tmp_path / "e.npy")
    (tmp_path / "f.npy").write_bytes(b"no")
    with pytest.raises(UserError, match=r"f\.npy: not a readable array"):
        read_depth(tmp_path / "f.npy")


@pytest.mark.parametrize("size", [(60, 100), (100, 60), (64, 64), (37, 51)])
@pytest.mark.parametrize("whole", [True, False])
def test_maps_lie_where_their_image_lies(size: tuple[int, int], whole: bool) -> None:
    """An image of two colours, resized as images are: labels change where its colours do."""
    half = torch.zeros(size, dtype=torch.uint8)
    half[:, size[1] // 2 :] = 1
    image = (half * 255).expand(3, -1, -1)
    seen = resized(image, 32) if whole else canonical(image, 32)
    label = on_square(half, 32, whole=whole)
    assert label.shape == (32, 32)
    assert ((seen[0] > 127).long() != label.long()).float().mean() < 0.04


def test_boxes_lie_where_their_masks_lie() -> None:
    mask = torch.zeros(2, 60, 100, dtype=torch.bool)
    mask[0, 12:30, 40:70] = True
    mask[1, 0:60, 0:10] = True  # outside of the central square
    known = Objects(torch.tensor([[40.0, 12, 70, 30], [0, 0, 10, 60]]), torch.tensor([3, 4]), mask)
    found = boxes_on_square(known, (60, 100), 30, whole=False)
    assert found.labels.tolist() == [3] and found.masks is not None
    assert found.boxes.tolist() == [[10.0, 6.0, 25.0, 15.0]]
    assert found.masks[0, 6:15, 10:25].all() and found.masks.sum() == 9 * 15
    whole = boxes_on_square(known, (60, 100), 30, whole=True)
    assert whole.boxes[0].tolist() == pytest.approx([12.0, 6.0, 21.0, 15.0])


def test_boxes_of_pascal_voc(tmp_path: Path) -> None:
    files.voc(tmp_path, 1)
    path = tmp_path / "VOCdevkit/VOC2012/Annotations/2012_train0.xml"
    found = read_voc_objects(path, ("dog", "person"))
    assert found.boxes.tolist() == [[10, 9, 31, 20], [0, 0, 48, 36]] and found.labels.tolist() == [1, 0]
    assert found.crowd is not None and found.crowd.tolist() == [False, True]
    with pytest.raises(UserError, match=r"2012_train0\.xml: not boxes in Pascal VOC's form"):
        read_voc_objects(path, ("dog",))
