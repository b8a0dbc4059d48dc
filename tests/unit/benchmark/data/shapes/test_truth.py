"""Label maps, depths and objects are what the images show."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from benchmark.data.shapes.draws import Draws
from benchmark.data.shapes.placement import FARTHEST, NEAREST, WALL, cover, place_in_depth
from benchmark.data.shapes.scenes import Scenes, render_shapes

ALL = torch.arange(300)


@pytest.fixture(scope="module", params=[False, True], ids=["flat", "deep"])
def scenes(request: pytest.FixtureRequest) -> Scenes:
    return render_shapes(0, "train", 300, 64, deep=request.param)


def _maps(scenes: Scenes) -> torch.Tensor:
    assert scenes.annotations.label_map is not None
    return scenes.annotations.label_map(ALL)


def test_labels_are_the_class_of_the_image_where_a_copy_is(scenes: Scenes) -> None:
    maps = _maps(scenes)
    assert maps.dtype == torch.uint8 and maps.shape == (300, 64, 64)
    assert scenes.annotations.label_names[0] == "background" and len(scenes.annotations.label_names) == 11
    for image, label in zip(maps, scenes.labels.tolist(), strict=True):
        assert image.unique().tolist() == [0, label + 1]


def test_labelled_pixels_are_the_bright_ones(scenes: Scenes) -> None:
    """Copies are brighter than the background; marks and the grain may be, too, and far copies are dark."""
    inside, brightness = _maps(scenes) > 0, scenes.pixels.float().amax(1)
    for image, mask in zip(brightness, inside, strict=True):
        assert image[mask].median() > image[~mask].median()


def test_any_images_can_be_read_in_any_order(scenes: Scenes) -> None:
    annotations, some = scenes.annotations, torch.tensor([257, 3, 290])
    assert annotations.label_map is not None and annotations.objects is not None
    assert torch.equal(annotations.label_map(some), _maps(scenes)[some])
    assert torch.equal(annotations.objects(some)[1].boxes, annotations.objects(torch.tensor([3]))[0].boxes)


def test_objects_are_as_many_as_there_are_copies_and_boxes_fit_tightly(scenes: Scenes) -> None:
    assert scenes.annotations.objects is not None
    maps = _maps(scenes)
    for index, found in enumerate(scenes.annotations.objects(ALL)):
        assert len(found.boxes) == scenes.factors["count"][index]
        assert found.labels.tolist() == [int(scenes.labels[index])] * len(found.boxes)
        assert found.masks is not None
        assert torch.equal(found.masks.sum(0), (maps[index] > 0).long())  # each pixel belongs to one copy
        for (left, top, right, bottom), mask in zip(found.boxes.long().tolist(), found.masks, strict=True):
            assert mask[top:bottom, left:right].sum() == mask.sum()
            assert mask[top].any() and mask[bottom - 1].any() and mask[:, left].any() and mask[:, right - 1].any()


def test_nearer_copies_hide_farther_ones_and_are_larger() -> None:
    deep = render_shapes(0, "train", 300, 64, deep=True)
    assert deep.annotations.depth is not None and deep.annotations.objects is not None
    depths, maps = deep.annotations.depth(ALL), _maps(deep)
    assert depths.dtype == torch.float32
    assert torch.equal(depths == WALL, maps == 0)
    near = depths[depths < WALL]
    assert near.min() >= NEAREST and near.max() <= FARTHEST
    for index, found in enumerate(deep.annotations.objects(ALL)):
        assert found.masks is not None
        planes = [depths[index][mask].unique() for mask in found.masks]
        assert all(len(plane) == 1 for plane in planes)
        sizes = (found.boxes[:, 2:] - found.boxes[:, :2]).amax(1)
        if deep.labels[index] == 0 and len(planes) == 1:  # a disc: its radius is 0.76 of 0.3 / depth
            assert float(sizes[0]) == pytest.approx(2 * 0.76 * 0.3 / float(planes[0]) * 64, abs=1.6)
    draws = Draws(0, "shapes-depth/train", np.arange(300))
    copies = place_in_depth(draws)
    assert copies.depth is not None
    hidden = 0
    for slot in range(3):
        where = cover(draws, copies, slot, 64)
        for image, distance in zip(where.images, where.distance_px, strict=True):
            inside = depths[int(image)][torch.from_numpy(distance < 0)]
            assert inside.max() <= copies.depth[image, slot]
            hidden += int((inside < float(copies.depth[image, slot])).sum())
    assert hidden > 1000


def test_flat_scenes_have_no_depth_and_those_in_depth_are_other_images() -> None:
    flat, deep = (render_shapes(0, "test", 8, deep=deep) for deep in (False, True))
    assert flat.annotations.depth is None
    assert not (flat.pixels == deep.pixels).flatten(1).all(1).any()
    assert hashlib.blake2b(deep.pixels.numpy().tobytes(), digest_size=8).hexdigest() == "0af6fcb15a74eb28"
