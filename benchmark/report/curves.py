"""Learning curves: validation accuracy over training time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparability import is_vit
from benchmark.analysis.comparison import MIN_RESULT, Row, valid_rows
from benchmark.analysis.statistics import summarise
from benchmark.report import style
from benchmark.report.canvas import Caption, cost_unit, far_above, freeze, new_figure
from benchmark.report.scored import accuracy_label, images_learnt_from, scored_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.records.schema import Record

History = list["Mapping[str, Any]"]
Curve = list[tuple[float, float]]  # (training time in seconds, accuracy in percent)
_Entries = list[tuple[Row, list[Curve]]]

_PANELS = {"linear_top1": "Linear probe", "knn200": "kNN, k = 200"}
_MATCH = 0.01  # two notes of one evaluation differ in progress by less than this

_CAPTION = "Validation accuracy during the runs: means over seeds, each seed as a thin line{probes}."
_DETAILS = (
    "From three seeds on, a band is the 95% interval of the mean. Dashed lines are vision transformers. {scored} A "
    "point in the middle is not the result of a shorter budget, whose learning-rate schedule would have ended there."
)
NO_CURVES = "No learning curves: each run was evaluated only once."


def caption(records: Sequence[Record]) -> Caption:
    """The caption of the figure of these records: how its probes differ from those of the tables."""
    during, final = images_learnt_from(records)
    probes = ""
    if during is not None and final is not None and during < final:
        probes = (
            f". The probes learn from {during:,} of the {final:,} training images that the final ones have, so curves "
            "need not end at the tables' values"
        )
    return Caption(_CAPTION.format(probes=probes), _DETAILS.format(scored=scored_weights(records)))


def curve(record: Record, history: Sequence[Mapping[str, Any]], score: str) -> Curve:
    """One run's validation score, such as `knn200`, over its training time.

    The ledger says how much training time had been spent at each evaluation. Of the history's lines, those of `kind`
    `evaluation` hold `progress` and scores.
    """
    points = [] if record.ledger is None else record.ledger.evaluation_points
    curve_points: Curve = []
    for line in history:
        progress, value = line.get("progress"), line.get(score)
        if line.get("kind") != "evaluation" or not points:
            continue
        if not isinstance(progress, (int, float)) or not isinstance(value, (int, float)):
            continue
        nearest = min(points, key=lambda point: abs(point.progress - progress))
        if abs(nearest.progress - progress) < _MATCH:
            curve_points.append((nearest.training_time, float(value)))
    return sorted(curve_points)


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean over seeds, at the evaluations that all of them have."""
    length = min((len(points) for points in curves), default=0)
    return [
        (sum(points[i][0] for points in curves) / len(curves), sum(points[i][1] for points in curves) / len(curves))
        for i in range(length)
    ]


def band(curves: Sequence[Curve]) -> tuple[list[float], list[float], list[float]]:
    """Times, lower and upper ends of the 95% interval of the mean curve (Student t).

    Empty below three seeds: an interval over two is many times as wide as the figure.
    """
    if len(curves) < MIN_RESULT:
        return [], [], []
    middle = mean_curve(curves)
    halves = [summarise([points[i][1] for points in curves]).ci95 or 0.0 for i in range(len(middle))]
    ends = [[value + sign * half for (_, value), half in zip(middle, halves, strict=True)] for sign in (-1, 1)]
    return [time for time, _ in middle], ends[0], ends[1]


def spread_out(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights as near the wanted ones as possible, at least `gap` apart, between `low` and `high` if they fit.

    They are in the order of `wanted`, which may be any.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[tuple[list[int], float]] = []  # indices and the middle of each run of touching labels
    for i in order:
        groups.append(([i], wanted[i]))
        while len(groups) > 1:
            (below, b), (above, a) = groups[-2], groups[-1]
            if a - b >= gap * (len(below) + len(above)) / 2:
                break
            middle = (b * len(below) + a * len(above)) / (len(below) + len(above))
            groups[-2:] = [(below + above, middle)]
    heights = [0.0] * len(wanted)
    for members, middle in groups:
        for place, i in enumerate(members):
            heights[i] = middle + gap * (place - (len(members) - 1) / 2)
    for i in reversed(order):  # press them down below the upper end, then up above the lower one
        heights[i] = min(heights[i], high)
        high = heights[i] - gap
    for i in order:
        heights[i] = max(heights[i], low)
        low = heights[i] + gap
    return heights


def learning_curves(
    runs: Sequence[tuple[Record, Sequence[Mapping[str, Any]]]], *, width: float = style.FULL_WIDTH
) -> Figure | None:
    """Validation accuracy over training time: linear probe and kNN, side by side.

    `runs` are records with the lines of their `history.jsonl`. Those that were evaluated only once are left out; None
    if there are no others.
    """
    histories = {id(record): history for record, history in runs}
    rows = [row for row in valid_rows([record for record, _ in runs]) if row.first.method != "random_init"]
    panels = {score: _curves_of(rows, histories, score) for score in _PANELS}
    times = [time for entries in panels.values() for _, curves in entries for points in curves for time, _ in points]
    if not times:
        return None
    unit, label = cost_unit(times)
    records = [record for record, _ in runs]
    during, _ = images_learnt_from(records)
    with style.applied():
        wide = width > 4
        shape = {"columns": 2} if wide else {"rows": 2}
        figure, axes = new_figure(width, (0.42 if wide else 1.35) * width, sharex=True, **shape)
        for axis, (score, title) in zip(axes, _PANELS.items(), strict=True):
            axis.set_title(title if during is None else f"{title}, {during:,} training images")
            if wide or axis is axes[-1]:
                axis.set_xlabel("Training time by own clocks" + label[label.index(" (") :])
            if not wide or axis is axes[0]:
                axis.set_ylabel(accuracy_label("", "validation", records))
            panels[score] = _set_height(axis, panels[score])
            for row, curves in panels[score]:
                _draw_curves(axis, row, curves, unit)
        freeze(figure)
        for axis, score in zip(axes, _PANELS, strict=True):
            _name_ends(axis, panels[score], max(times) / unit, unit)
    return figure


def only_points(runs: Sequence[tuple[Record, Sequence[Mapping[str, Any]]]]) -> bool:
    """Whether every run was evaluated at most once, and some were, so that there is no curve to draw."""
    lengths = [len(curve(record, history, score)) for record, history in runs for score in _PANELS]
    return max(lengths, default=0) == 1


def _curves_of(rows: Sequence[Row], histories: Mapping[int, Sequence[Mapping[str, Any]]], score: str) -> _Entries:
    entries = []
    for row in rows:
        curves = [curve(record, histories.get(id(record), ()), score) for record in row.measured]
        drawn = [points for points in curves if len(points) > 1]  # one point is no curve
        if drawn:
            entries.append((row, drawn))
    return entries


def _draw_curves(axes: Axes, row: Row, curves: list[Curve], unit: float) -> None:
    colour, marker = style.colour(row.first.entry, row.first.method), style.marker(row.first)
    dashes = "--" if is_vit(row.first) else "-"
    for points in curves if len(curves) > 1 else []:
        axes.plot(*_scaled(points, unit), color=colour, linewidth=0.5, linestyle=dashes, alpha=0.35, zorder=2)
    times, low, high = band(curves)
    if times:
        axes.fill_between([time / unit for time in times], low, high, color=colour, alpha=0.12, linewidth=0, zorder=1.8)
    axes.plot(*_scaled(mean_curve(curves), unit), color=colour, linestyle=dashes, marker=marker, markersize=3, zorder=3)


def _scaled(points: Curve, unit: float) -> tuple[list[float], list[float]]:
    return [time / unit for time, _ in points], [value for _, value in points]


def _set_height(axes: Axes, entries: _Entries) -> _Entries:
    """Fits the y axis to the curves, and returns those to draw.

    A supervised curve far above the others is not drawn, but named at the top.
    """
    means = {id(row): [value for _, value in mean_curve(curves)] for row, curves in entries}
    rest = [value for row, _ in entries if row.first.method != "supervised" for value in means[id(row)]]
    above = [row for row, _ in entries if row.first.method == "supervised" and far_above(means[id(row)][-1], rest)]
    shown = [(row, curves) for row, curves in entries if row not in above]
    heights = [value for row, _ in shown for value in means[id(row)]]
    if not heights:
        return list(entries)
    # Every seed's line fits into the figure; a much wider band over few seeds is cut.
    spread = max(max(heights) - min(heights), 2.0)
    heights += [value for _, curves in shown for points in curves for _, value in points]
    bottom, top = min(heights), max(heights)
    ends = [end for _, curves in shown for side in band(curves)[1:] for end in side]
    low = max(min([bottom, *ends]), bottom - 0.15 * spread)
    high = min(max([top, *ends]), top + 0.15 * spread)
    pad = 0.08 * spread
    axes.set_ylim(low - pad, high + pad * (3 if above else 1))
    for row in above[:1]:
        text = f"\u25b2 {style.display(row.first.entry)} ends at {means[id(row)][-1]:.1f}% (off scale)"
        axes.text(0.02, 0.97, text, fontsize=6.5, va="top", transform=axes.transAxes, parse_math=False)
    return shown


def _name_ends(axes: Axes, entries: _Entries, right: float, unit: float) -> None:
    """Writes each entry's name at the right edge, at the height of its curve's end, with a thin line between."""
    low, high = axes.get_ylim()
    ends = [(row, mean_curve(curves)[-1]) for row, curves in entries]
    window = axes.get_window_extent()
    gap = 8.5 * axes.figure.dpi / 72 * (high - low) / window.height
    heights = spread_out([end[1] for _, end in ends], gap, low + gap / 2, high - gap / 2)
    names, start = [], 1.1 * right
    for (row, (time, value)), height in zip(ends, heights, strict=True):
        colour = style.colour(row.first.entry, row.first.method)
        axes.plot([time / unit, 0.99 * start], [value, height], color=colour, linewidth=0.4, alpha=0.6, zorder=1.5)
        name = axes.text(start, height, style.display(row.first.entry), fontsize=6.5, va="center", parse_math=False)
        name.set_color(style.text_colour(colour))
        names.append(name)
    widest = max((name.get_window_extent().width for name in names), default=0.0)
    axes.set_xlim(0.0, start / max(0.3, 1.0 - (widest + 4) / window.width))
    axes.set_xticks([tick for tick in axes.get_xticks() if 0.0 <= tick <= 1.05 * right])  # none below the names
