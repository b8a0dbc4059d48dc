from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.report.curves import band, curve, learning_curves, mean_curve, spread_out


def test_curve_takes_its_times_from_the_ledger_by_progress(make_record: Any, make_history: Any) -> None:
    record = make_record(top1=50.0, seconds=200.0)
    history = [
        *make_history(record),
        {"kind": "evaluation", "progress": 0.5, "linear_top1": 99.0},
        {"kind": "evaluation"},
    ]
    points = curve(record, history, "linear_top1")
    assert [time for time, _ in points] == pytest.approx([40, 80, 120, 160, 200])
    assert points[-1][1] == pytest.approx(50.0)
    assert mean_curve([[(1.0, 10.0), (3.0, 30.0)], [(2.0, 20.0)]]) == [(1.5, 15.0)]


def test_the_band_is_the_95_percent_interval_from_three_seeds_on() -> None:
    curves = [[(1.0, value)] for value in (40.0, 41.0, 42.0)]
    times, low, high = band(curves)
    half = 4.302653 * 1.0 / 3**0.5  # Student's t for two degrees of freedom
    assert (times, low, high) == ([1.0], pytest.approx([41.0 - half]), pytest.approx([41.0 + half]))
    assert band(curves[:2]) == ([], [], [])


def test_no_seeds_curve_is_cut_a_wide_band_is_and_no_tick_stands_below_the_names(
    make_record: Any, make_history: Any
) -> None:
    runs = [
        (make_record(entry, seed, seconds=100.0), make_history) for entry in ("byol", "simclr") for seed in range(3)
    ]
    drawn = []
    for record, history in runs:
        low = record.seed == 2 and record.entry == "byol"
        lines = [{**line, "linear_top1": 5.0 if low else 40.0} for line in history(record) if "linear_top1" in line]
        drawn.append((record, lines))
    figure = learning_curves(drawn)
    assert figure is not None
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    assert low < 5.0 and high > 40.0
    assert low > -10.0  # the band over 40, 40 and 5 would begin at -22
    assert min(axes.get_xticks()) >= 0.0 and max(axes.get_xticks()) <= 1.05 * 100.0 < axes.get_xlim()[1]


def test_a_seed_that_diverged_does_not_end_the_mean_of_the_others(make_record: Any, make_history: Any) -> None:
    runs = [make_record("byol", seed, seconds=100.0) for seed in range(2)]
    drawn = [(record, make_history(record)) for record in runs]
    drawn.append((make_record("byol", 2, status="diverged", measured=False), make_history(runs[0])[:2]))
    figure = learning_curves(drawn)
    assert figure is not None
    longest = max(figure.axes[0].lines, key=lambda line: line.get_linewidth())
    assert len(longest.get_xdata()) == 5


def test_learning_curves_need_an_evaluation(make_record: Any, make_history: Any) -> None:
    assert learning_curves([(make_record(), [])]) is None
    scores = {"cnn_jepa": 44.1, "byol": 44.2, "supervised": 71.0, "random_init": 32.8}
    records = [make_record(entry, seed, top1=top1 + seed) for entry, top1 in scores.items() for seed in range(2)]
    figure = learning_curves([(record, make_history(record)) for record in records])
    assert figure is not None
    left = [text.get_text() for text in figure.axes[0].texts]
    assert "CNN-JEPA" in left and any("supervised ends at" in text for text in left) and "random init" not in left
    for text in figure.axes[0].texts:
        assert text.get_window_extent().x1 <= figure.axes[0].get_window_extent().x1 + 1


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_names_at_the_edge_keep_their_distance_and_order(wanted: list[float]) -> None:
    heights = spread_out(wanted, 5.0, 0.0, 100.0)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [heights[i] for i in order]
    assert all(b - a >= 5.0 - 1e-6 for a, b in itertools.pairwise(placed))
    assert min(placed) >= -1e-6 and max(placed) <= 100 + 1e-6
