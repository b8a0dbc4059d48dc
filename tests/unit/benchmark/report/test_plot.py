from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.comparison import rows_of
from benchmark.report.canvas import new_figure
from benchmark.report.plot import Plot


def plot(records: list[Any], unit: float = 1.0) -> Plot:
    _, (axes,) = new_figure(3, 2)
    return Plot(axes, rows_of(records), [], unit, published=False)


def test_rows_are_at_their_mean_cost_and_accuracy(make_record: Any) -> None:
    drawn = plot([make_record("byol", s, top1=40.0 + 2 * s, seconds=60.0 + 60 * s) for s in range(3)], unit=60.0)
    (row,) = drawn.paid
    assert not drawn.equal and drawn.at(row) == (2.0, 42.0)
    assert drawn.seeds(row) == [(1.0, 40.0), (2.0, 42.0), (3.0, 44.0)]
    assert drawn.height(row) == pytest.approx(4.9683, abs=1e-3) and drawn.reach(row) == pytest.approx(0.999 * 2.0)


def test_two_seeds_have_the_sampling_error_and_no_interval_of_cost(make_record: Any) -> None:
    drawn = plot([make_record("byol", s, top1=40.0 + 2 * s, seconds=60.0 + 60 * s) for s in range(2)])
    (row,) = drawn.paid
    assert drawn.height(row) == row.sampling95 and drawn.reach(row) is None


def test_a_run_with_an_unsafe_time_is_at_the_mean_of_the_others(make_record: Any) -> None:
    records = [make_record("byol", 0, seconds=100.0), make_record("byol", 1, seconds=900.0, flags=["resumed"])]
    drawn = plot(records)
    assert [x for x, _ in drawn.seeds(drawn.paid[0])] == [100.0, 100.0]


def test_entries_with_the_same_time_are_side_by_side_from_the_most_accurate_on(make_record: Any) -> None:
    timed = {"seconds": 60.0, "budget": {"wall_clock": 60.0}}
    drawn = plot([make_record("byol", top1=40.0, **timed), make_record("simclr", top1=45.0, **timed)])
    assert drawn.equal
    assert {row.first.entry: drawn.at(row) for row in drawn.paid} == {"byol": (1.0, 40.0), "simclr": (0.0, 45.0)}
    assert [len(rungs) for rungs in drawn.ladders()] == [1, 1]
    assert not plot([make_record("byol", **timed)]).equal  # nothing to hide
