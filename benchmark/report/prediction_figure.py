"""A figure of the measured rungs of a ladder, continued to a longer budget; what is predicted is dashed, in a band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmark.analysis.prediction import LEVEL
from benchmark.records.budgets import unit_text
from benchmark.report import style
from benchmark.report.canvas import Caption, far_above, freeze, new_figure
from benchmark.report.curves import spread_out
from benchmark.report.scored import accuracy_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.analysis.ladder_curves import EntryPrediction, Prediction

_POINTS = 12  # of a predicted line
_NAMES_FROM = 0.15  # of the room right of the longer budget
NO_CHECK = "These records cannot check the prediction: that needs an entry with at least four rungs."


def caption(prediction: Prediction) -> Caption:
    """What the figure shows; its details say how far its intervals can be trusted."""
    check = prediction.check
    trust = NO_CHECK if check is None else f"Predicting the longest rung from the shorter ones: {check.sentence}."
    return Caption(
        f"Solid: measured means over seeds, and seeds. Dashed: a prediction for {prediction.target_text}; bands are "
        f"its {LEVEL:.0%} intervals for a measured accuracy.",
        f"The prediction is a saturating power law through each entry's rungs. {trust}",
    )


def prediction_figure(prediction: Prediction, width: float = style.FULL_WIDTH) -> Figure:
    """Accuracy over the budget (logarithmic): measured rungs, and the prediction up to the longer budget.

    A supervised entry far above all others is named at the upper edge, with its prediction, and not drawn.
    """
    shown, above = _shown(prediction.entries)
    with style.applied():
        figure, (axes,) = new_figure(width, (0.5 if width > 4 else 0.86) * width)
        unit = unit_text(prediction.ladder.kind)
        axes.set(
            xlabel=f"Budget ({unit})", ylabel=accuracy_label("Linear", "test", [prediction.ladder.first]), xscale="log"
        )
        _set_limits(axes, shown, prediction.target, 0.22 if width > 4 else 0.5)
        budgets = {budget for entry in shown for budget in (*entry.source.budgets, entry.target)}
        axes.set_xticks(sorted(budgets), [f"{budget:g}" for budget in sorted(budgets)])
        axes.minorticks_off()
        _draw_key(axes, prediction, above)
        for entry in shown:
            _draw_entry(axes, entry)
        freeze(figure)
        _name_ends(axes, shown)
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


def _set_limits(axes: Axes, entries: Sequence[EntryPrediction], target: float, room: float) -> None:
    """Every seed and every predicted line fits; a wide band is cut. `room` on the right is for the names."""
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
    axes.set_xlim(left / reach**0.05, target * reach**room)
    axes.axvspan(longest, target, color="#f3f4f6", linewidth=0, zorder=0)
    axes.text(longest * reach**0.01, axes.get_ylim()[0], "prediction", fontsize=6.5, va="bottom", color=style.FAINT)


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
        axes.scatter(
            [rung.budget] * len(rung.values),
            rung.values,
            s=7,
            marker=marker,
            color=colour,
            alpha=0.35,
            linewidths=0,
            zorder=3.5,
        )
    xs, ys = zip(*_measured(entry), strict=True)
    axes.plot(xs, ys, color=colour, marker=marker, markersize=4, markeredgecolor="white", linewidth=1.1, zorder=4)
    line = _predicted(entry)
    axes.plot(*zip(*line, strict=True), color=colour, linewidth=1.1, linestyle=(0, (4, 2)), zorder=3)
    axes.plot(*line[-1], marker=marker, markersize=4.5, markerfacecolor="white", markeredgecolor=colour, zorder=4)
    budgets = np.geomspace(line[0][0], entry.target, _POINTS)
    low, high = np.quantile(entry.fit.measured(budgets), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    axes.fill_between(budgets, low, high, color=colour, alpha=0.1, linewidth=0, zorder=1.5)


def _name_ends(axes: Axes, entries: Sequence[EntryPrediction]) -> None:
    """Writes each entry and its prediction at the right, at the height of its line's end, with a thin line between."""
    low, high = axes.get_ylim()
    gap = 8.5 * axes.figure.dpi / 72 * (high - low) / axes.get_window_extent().height
    ends = [_predicted(entry)[-1] for entry in entries]
    heights = spread_out([y for _, y in ends], gap, low + gap / 2, high - gap / 2)
    place = (axes.get_xlim()[1] / ends[0][0]) ** _NAMES_FROM * ends[0][0]
    for entry, (x, y), height in zip(entries, ends, heights, strict=True):
        first = entry.source.row.first
        colour = style.colour(first.entry, first.method)
        axes.plot([x, place], [y, height], color=colour, linewidth=0.4, alpha=0.6, zorder=1.5)
        text = f" {style.display(entry.entry)} {y:.1f}"
        axes.text(place, height, text, fontsize=6.5, va="center", color=style.text_colour(colour), parse_math=False)
