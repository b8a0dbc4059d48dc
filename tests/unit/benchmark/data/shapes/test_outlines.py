"""The outlines' areas and distances."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.shapes.outlines import OUTLINES, distance_fields, inside_outlines, outline_distance


def test_outlines_cover_similar_areas_and_fit_their_field() -> None:
    fields = distance_fields()
    areas = (fields < 0).mean(axis=(1, 2)) * 9
    assert areas.min() > 1.3
    assert areas.max() < 2.1
    border = np.concatenate([fields[:, 0], fields[:, -1], fields[:, :, 0], fields[:, :, -1]], axis=1)
    assert border.min() > 0.25


@pytest.mark.parametrize(
    ("name", "point", "expected"),
    [
        ("disc", (0.0, 0.0), -0.76),
        ("disc", (1.0, 0.0), 0.24),
        ("ring", (0.0, 0.0), 0.5),
        ("ring", (0.0, 0.725), -0.225),
        ("square", (0.0, 0.0), -0.68),
        ("cross", (0.9, 0.9), 0.6),
        ("hourglass", (0.0, -0.9), 0.0),
        ("crescent", (0.48, 0.0), 0.74),
    ],
)
def test_distances_are_those_of_geometry(name: str, point: tuple[float, float], expected: float) -> None:
    u, v = (np.full((1, 1, 1), value, dtype=np.float32) for value in point)
    distance = outline_distance(np.array([OUTLINES.index(name)]), u, v)
    assert distance.item() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("ring", (0.0, 0.7), (0.0, 0.0)),
        ("triangle", (0.9, 0.6), (0.9, -0.6)),  # y points down: the tip is at the top
        ("star", (0.0, 0.9), (0.0, -0.9)),
        ("heart", (0.0, 0.7), (0.0, -0.7)),
        ("arrow", (0.9, 0.0), (-0.9, 0.5)),
        ("crescent", (-0.9, 0.0), (0.9, 0.0)),
    ],
)
def test_outlines_point_the_right_way(name: str, inside: tuple[float, float], outside: tuple[float, float]) -> None:
    x, y = (np.array(values) for values in zip(inside, outside, strict=True))
    assert inside_outlines(x, y)[name].tolist() == [True, False]
