from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.comparison import rows_of
from benchmark.report.axis_limits import set_limits
from benchmark.report.canvas import new_figure
from benchmark.report.plot import Plot


def limits(*records: Any) -> tuple[str, tuple[float, float], tuple[float, float]]:
    _, (axes,) = new_figure(3, 2)
    set_limits(Plot(axes, rows_of(records), [], 1.0, published=False))
    return axes.get_xscale(), axes.get_xlim(), axes.get_ylim()


def test_costs_begin_at_zero_unless_that_would_leave_most_of_the_panel_empty(make_record: Any) -> None:
    def cost(*seconds: float) -> tuple[str, tuple[float, float]]:
        return limits(*(make_record("byol", seconds=s, budget={"epochs": e}) for e, s in enumerate(seconds, 1)))[:2]

    assert cost(60.0, 100.0) == ("linear", (0.0, pytest.approx(114.0)))
    assert cost(90.0, 100.0) == ("linear", (pytest.approx(83.0), pytest.approx(107.0)))
    scale, (left, right) = cost(9.0, 100.0)
    assert scale == "log" and 0.0 < left < 9.0 and right > 100.0


def test_a_ceiling_far_above_does_not_stretch_the_scale(make_record: Any) -> None:
    ours = [make_record("byol", top1=45.0), make_record("simclr", top1=44.0)]
    assert limits(*ours, make_record("supervised", top1=80.0))[2][1] < 60.0
    assert limits(*ours, make_record("supervised", top1=47.0))[2][1] > 47.0
