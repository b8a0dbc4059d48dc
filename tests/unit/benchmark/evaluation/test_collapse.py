"""Collapse: two evaluation points in a row, late enough."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.evaluation.collapse import collapse

WIDE, NARROW, FLAT = (0.5, 30.0), (0.01, 30.0), (0.5, 1.4)


def _history(*points: tuple[float, float], slack: float = 0.0) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [{"kind": "train", "progress": 0.5, "loss": 1.0}]
    for number, (spread, rank) in enumerate(points, 1):
        lines.append(
            {"kind": "evaluation", "progress": number / len(points) + slack, "feature_std": spread, "rankme": rank}
        )
    return lines


@pytest.mark.parametrize(
    ("points", "collapsed"),
    [
        ((WIDE, WIDE, NARROW, NARROW, WIDE), True),
        ((WIDE, WIDE, WIDE, NARROW, FLAT), True),
        ((WIDE, WIDE, NARROW, WIDE, NARROW), False),  # never two in a row
        ((NARROW, NARROW, WIDE, WIDE, WIDE), False),  # too early
        ((WIDE, NARROW, NARROW, WIDE, WIDE), False),  # the one at 0.4 does not count yet
        ((WIDE, WIDE, WIDE, WIDE, NARROW), False),
        ((NARROW,), True),  # the only one decides
        ((WIDE,), False),
        ((NARROW, FLAT), True),
        ((NARROW, WIDE), False),
        ((), False),
    ],
)
def test_two_points_in_a_row_after_two_fifths(points: tuple[tuple[float, float], ...], collapsed: bool) -> None:
    for slack in (0.0, 0.01):  # steps that end just at a point, and behind it
        assert (collapse(_history(*points, slack=slack), len(points) or 5) is not None) == collapsed


def test_the_message_says_when_and_how_far() -> None:
    said = collapse(_history(WIDE, WIDE, NARROW, NARROW), 4)
    assert said == "features collapsed by progress 1.00: spread 0.010 (at least 0.05), RankMe 30.00 (at least 2)"
