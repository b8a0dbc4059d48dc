"""The limits of a panel of cost and accuracy: all that is drawn is inside, apart from a ceiling far above the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.comparison import MIN_RESULT
from benchmark.report.canvas import far_above, ladders, plain_log_ticks
from benchmark.report.published_figure import counted

if TYPE_CHECKING:
    from benchmark.report.plot import Plot


def _off_scale(plot: Plot) -> set[int]:
    """The rungs (by id) of supervised entries that end far above the rest."""
    others = [row for row in [*plot.paid, *plot.floors] if row.first.method != "supervised"]
    rest = [row.accuracy.mean or 0.0 for row in others]
    rungs_above: set[int] = set()
    for rungs in ladders([row for row in plot.paid if row.first.method == "supervised"]):
        if far_above(plot.at(rungs[-1])[1], rest):
            rungs_above.update(map(id, rungs))
    return rungs_above


def set_limits(plot: Plot) -> None:
    """Sets the limits of both axes; that of cost is logarithmic where the dearest is ten times the cheapest."""
    axes, off = plot.axes, _off_scale(plot)
    ys = [y for row in plot.paid if id(row) not in off for _, y in plot.seeds(row)]
    ys += [row.accuracy.mean or 0.0 for row in plot.floors]
    theirs = counted() if plot.published else []
    ys += [run.linear_top1 for run in theirs]
    spread = max(max(ys, default=100.0) - min(ys, default=0.0), 2.0)
    for row in plot.paid:
        # The bar of a wide interval may leave the figure, points may not.
        reach = plot.height(row) or 0.0
        reach = min(reach, 0.25 * spread) if row.accuracy.n >= MIN_RESULT else reach
        ys += [] if id(row) in off else [plot.at(row)[1] - reach, plot.at(row)[1] + reach]
    low, high = min(ys, default=0.0), max(ys, default=100.0)
    pad = max(0.1 * (high - low), 1.0 - (high - low) / 2)
    axes.set_ylim(max(low - pad, 0.0) if low >= 0 else 0.0, min(high + pad * (2.0 if off else 1.0), 101.0))
    if plot.equal:
        axes.set_xlim(-0.8, len(plot.paid) - 0.2)
        axes.set_xticks([])
        return
    xs = [x for row in plot.paid for x, _ in plot.seeds(row) if x > 0]
    xs += [run.device_hours or 0.0 for run in theirs]
    left, right = min(xs, default=0.0), max(xs, default=1.0)
    if left > 0 and right / left >= 10:
        axes.set_xscale("log")
        axes.set_xlim(left / (right / left) ** 0.12, right * (right / left) ** 0.14)
        plain_log_ticks(axes)
    else:
        # From zero on, so that lengths are costs, unless that would leave most of the figure empty.
        start = 0.0 if left < 0.65 * right or left == right else left
        pad = 0.14 * max(right - start, 0.5 * right)
        axes.set_xlim(max(0.0, start - pad), right + pad)
