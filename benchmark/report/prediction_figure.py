"""A figure of the measured rungs of a ladder, continued to a longer budget; what is predicted is dashed, in a band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmark.analysis.prediction import LEVEL
from benchmark.records.budgets import unit_text
from benchmark.report import style
from benchmark.report.canvas import far_above, freeze, new_figure
from benchmark.report.labels import Box, Label, place, segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.analysis.ladder_curves import EntryPrediction, Prediction

_POINTS = 40  # of a predicted line
_MARKER, _LINE = 12.0, 1.0  # what a square pixel weighs for a label that covers it
NO_CHECK = "These records cannot check the prediction: that needs an entry with at least four rungs."


def caption(prediction: Prediction) -> str:
    """What the figure shows, and how far its intervals can be trusted."""
    check = prediction.check
    trust = NO_CHECK if check is None else f"Predicting the longest rung from the shorter ones: {check.sentence}."
    return (
        f"Linear top-1 on the test split over the budget. Markers joined by lines are measured: means over seeds, and "
        f"seeds. Dashed lines are a prediction for {prediction.target_text}, by a saturating power law through each "
        f"entry's rungs; bands are its {LEVEL:.0%} intervals for a measured accuracy. {trust}"
    )


def prediction_figure(prediction: Prediction, width: float = style.FULL_WIDTH) -> Figure:
    """Accuracy over the budget (logarithmic): measured rungs, and the prediction up to the longer budget.

    A supervised entry far above all others is named at the upper edge, with its prediction, and not drawn.
    """
    shown, above = _shown(prediction.entries)
    with style.applied():
        figure, (axes,) = new_figure(width, (0.5 if width > 4 else 0.86) * width)
        unit = unit_text(prediction.ladder.kind)
        axes.set(xlabel=f"Budget ({unit})", ylabel="Linear probe, test top-1 (%)", xscale="log")
        _set_limits(axes, shown, prediction.target)
        budgets = {budget for entry in shown for budget in (*entry.source.budgets, entry.target)}
        axes.set_xticks(sorted(budgets), [f"{budget:g}" for budget in sorted(budgets)])
        axes.minorticks_off()
        _draw_key(axes, prediction, above)
        for entry in shown:
            _draw_entry(axes, entry)
        freeze(figure)
        place(axes, [_label(entry) for entry in shown], [box for entry in shown for box in _obstacles(axes, entry)])
    return figure


def _shown(entries: Sequence[EntryPrediction]) -> tuple[list[EntryPrediction], list[EntryPrediction]]:
    """The entries to draw, and the supervised ones that would squeeze them."""
    others = [entry.top1.median for entry in entries if entry.source.row.first.method != "supervised"]
    above = [
        entry
        for entry in entries
        if entry.source.row.first.method == "supervised" and far_above(entry.top1.median, others)
    ]
    return [entry for entry in entries if entry not in above], above


def _set_limits(axes: Axes, entries: Sequence[EntryPrediction], target: float) -> None:
    """Every seed and every predicted line fits; a wide band is cut."""
    heights = [value for entry in entries for rung in entry.source.curve.rungs for value in rung.values]
    heights += [entry.top1.median for entry in entries]
    low, high = min(heights), max(heights)
    spread = max(high - low, 2.0)
    bands = [end for entry in entries for end in (entry.top1.low, entry.top1.high)]
    low = max(min([low, *bands]), low - 0.15 * spread) - 0.06 * spread
    high = min(max([high, *bands]), high + 0.3 * spread) + 0.06 * spread
    axes.set_ylim(max(low, 0.0), min(high, 101.0))
    left = min(entry.source.budgets[0] for entry in entries)
    longest = max(entry.source.budgets[-1] for entry in entries)
    reach = target / left
    axes.set_xlim(left / reach**0.05, target * reach**0.22)  # room for the names
    axes.axvspan(longest, target, color="#f3f4f6", linewidth=0, zorder=0)
    axes.text(longest * reach**0.01, axes.get_ylim()[1], "prediction", fontsize=6.5, va="top", color=style.FAINT)


def _draw_key(axes: Axes, prediction: Prediction, above: Sequence[EntryPrediction]) -> None:
    """One faint line above the axes, and below it what is off the scale."""
    key = f"\u25cf\u2014 measured\u2003\u25cb\u254c prediction\u2003band: {LEVEL:.0%} interval"
    axes.set_title(key, loc="right", fontsize=6.5, fontweight="normal", color=style.FAINT)
    lines = [
        f"\u25b2 {style.display(entry.entry)}: {entry.source.curve.longest.mean:.1f}, predicted "
        f"{entry.top1.median:.1f}% (off scale)"
        for entry in above
    ]
    axes.text(0.02, 0.97, "\n".join(lines), fontsize=6.5, va="top", transform=axes.transAxes, parse_math=False)


def _measured(entry: EntryPrediction) -> list[tuple[float, float]]:
    return [(rung.budget, rung.mean) for rung in entry.source.curve.rungs]


def _predicted(entry: EntryPrediction) -> list[tuple[float, float]]:
    """The line from the longest rung's mean to the prediction: medians of what would be measured in between."""
    longest = entry.source.curve.longest
    budgets = np.geomspace(longest.budget, entry.target, _POINTS)
    heights = np.median(entry.fit.measured(budgets), axis=0)
    return [(longest.budget, longest.mean), *zip(budgets[1:].tolist(), heights[1:].tolist(), strict=True)]


def _draw_entry(axes: Axes, entry: EntryPrediction) -> None:
    first = entry.source.row.first
    colour, marker = style.colour(first.entry, first.method), style.marker(first)
    for rung in entry.source.curve.rungs if entry.fit.curve.residuals.size else ():
        xs = [rung.budget] * len(rung.values)
        axes.scatter(xs, rung.values, s=7, marker=marker, color=colour, alpha=0.35, linewidths=0, zorder=3.5)
    xs, ys = zip(*_measured(entry), strict=True)
    axes.plot(xs, ys, color=colour, marker=marker, markersize=4, markeredgecolor="white", linewidth=1.1, zorder=4)
    line = _predicted(entry)
    axes.plot(*zip(*line, strict=True), color=colour, linewidth=1.1, linestyle=(0, (4, 2)), zorder=3)
    axes.plot(*line[-1], marker=marker, markersize=4.5, markerfacecolor="white", markeredgecolor=colour, zorder=4)
    budgets = np.geomspace(line[0][0], entry.target, _POINTS)
    low, high = np.quantile(entry.fit.measured(budgets), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    axes.fill_between(budgets, low, high, color=colour, alpha=0.1, linewidth=0, zorder=1.5)


def _label(entry: EntryPrediction) -> Label:
    x, y = _predicted(entry)[-1]
    first = entry.source.row.first
    colour = style.text_colour(style.colour(first.entry, first.method))
    return Label(f"{style.display(entry.entry)} {y:.1f}", x, y, colour)


def _obstacles(axes: Axes, entry: EntryPrediction) -> list[tuple[Box, float]]:
    """Boxes that labels should not cover, in display coordinates, with the weight of a square pixel."""
    dot = axes.figure.dpi / 72
    line = [*_measured(entry), *_predicted(entry)[1::8], _predicted(entry)[-1]]
    pixels = [tuple(map(float, axes.transData.transform(point))) for point in line]
    boxes = [
        (box, _LINE)
        for start, end in zip(pixels, pixels[1:], strict=False)
        for box in segment((start[0], start[1]), (end[0], end[1]), 1.0 * dot)
    ]
    marks = [*pixels[: len(entry.source.budgets)], pixels[-1]]
    return boxes + [(Box.around(mark[0], mark[1], 3.0 * dot), _MARKER) for mark in marks]
