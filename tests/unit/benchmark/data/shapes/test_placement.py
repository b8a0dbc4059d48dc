"""Where copies lie, flat and in depth."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.shapes.draws import Draws
from benchmark.data.shapes.placement import FARTHEST, NEAREST, cover, place, place_in_depth

DRAWS = Draws(0, "test", np.arange(2000))


def test_flat_copies_have_no_depth_and_do_not_overlap() -> None:
    copies = place(DRAWS)
    assert copies.depth is None and copies.brightness(0) is None
    two = copies.count >= 2
    apart = np.maximum(abs(copies.x[:, 0] - copies.x[:, 1]), abs(copies.y[:, 0] - copies.y[:, 1]))
    assert (apart[two] > 0.9 * (copies.radius[two, 0] + copies.radius[two, 1])).mean() > 0.9


def test_radius_is_inverse_to_depth_and_far_copies_come_first() -> None:
    copies = place_in_depth(DRAWS)
    assert copies.depth is not None
    used = np.arange(3) < copies.count[:, None]
    assert copies.radius[used] * copies.depth[used] == pytest.approx(0.3, rel=1e-6)
    assert NEAREST <= copies.depth[used].min() < 1.01 and 2.49 < copies.depth[used].max() <= FARTHEST
    for slot in (1, 2):
        both = copies.count > slot
        assert (copies.depth[both, slot - 1] >= copies.depth[both, slot]).all()
    assert np.bincount(copies.count)[1:] / 2000 == pytest.approx([0.2, 0.4, 0.4], abs=0.04)


def test_near_copies_are_brighter() -> None:
    copies = place_in_depth(DRAWS)
    assert copies.depth is not None
    brightness = copies.brightness(0)
    assert brightness is not None
    expected = 1 - 0.5 * (copies.depth[:, 0] - NEAREST) / (FARTHEST - NEAREST)
    assert brightness == pytest.approx(expected, abs=1e-6)
    assert brightness.min() >= 0.5 and brightness.max() <= 1


def test_cover_is_of_the_images_that_have_the_copy() -> None:
    copies = place(DRAWS)
    where = cover(DRAWS, copies, 2, 32)
    assert where.images.tolist() == np.flatnonzero(copies.count == 3).tolist()
    inside = where.distance_px < 0
    ticks = (np.arange(32) + 0.5) / 32
    centre = (inside * ticks).sum((1, 2)) / inside.sum((1, 2))
    assert np.median(abs(centre - copies.x[where.images, 2])) < 0.03
