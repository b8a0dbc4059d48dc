"""Figures of a study: each parameter's effect, pairs as a map, importances, learning curves, the Pareto front."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparison import MIN_RESULT
from benchmark.analysis.fronts import front_trials, scored_trials, trial_cost
from benchmark.analysis.studies import Effect, complete_trials, mean_by_pair
from benchmark.records.study import value_key, value_text
from benchmark.report import style
from benchmark.report.canvas import draw_front, freeze, new_figure
from benchmark.report.labels import Box, Label, place, segment
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.records.study import EntryStudy, TrialOutcome

Place = tuple[float, float]  # device-hours and percent

_SCORE = "Linear probe, validation top-1 (%)"
_COLUMNS = 3
_CURVES = 8  # trials whose learning curves are drawn
_SPREAD = 0.16  # of the points of one value, to either side


def span_of(effects: Sequence[Effect]) -> float:
    """The range of accuracy, in points, that the panels of some effects have to show."""
    low, high = _limits([effect for effect in effects if effect.levels])
    return high - low


def effect_plots(effects: Sequence[Effect], study: EntryStudy, *, span: float = 0.0) -> Figure | None:
    """A panel per parameter: every run a point, each value's mean with its 95% interval over seeds.

    A parameter with many values is drawn as a cloud over its axis, without means.

    None where no trial is complete.

    Args:
        effects: of one entry's parameters.
        study: tells which axes are logarithmic.
        span: show at least as many points of accuracy, so that the figures of several entries are on one scale.
    """
    shown = [effect for effect in effects if effect.levels]
    if not shown:
        return None
    rows = -(-len(shown) // _COLUMNS)
    columns = min(_COLUMNS, len(shown))
    width = style.COLUMN_WIDTH * 1.3 if columns == 1 else style.FULL_WIDTH
    with style.applied():
        figure, axes = _grid(width, 2.5 * rows, rows, columns)
        for axis, effect in zip(axes, shown, strict=False):
            axis.set_title(f"{style.display(study.entry)}: {_short(effect.name, study.entry)}")
            if effect.listed or not effect.numeric:
                _draw_levels(axis, effect, log=study.parameters[effect.name].log)
            else:
                xs, ys = zip(*((level.value, score) for level in effect.levels for score in level.scores), strict=True)
                axis.scatter(xs, ys, s=9, color=style.COLOURS["cnn_jepa"], alpha=0.6, linewidths=0, zorder=3)
                axis.set_xscale("log" if study.parameters[effect.name].log else "linear")
        for axis in axes[len(shown) :]:
            axis.set_axis_off()
        low, high = _limits(shown)
        more = max(0.0, span - (high - low)) / 2
        axes[0].set_ylim(low - more, high + more)
        for axis in axes[::columns]:
            axis.set_ylabel(_SCORE)
        freeze(figure)
    return figure


def _grid(width: float, height: float, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    if rows == 1:
        return new_figure(width, height, columns, sharey=True)
    figure, (first,) = new_figure(width, height)
    first.remove()
    return figure, list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)


def level_places(effect: Effect, log: bool) -> tuple[list[float], float]:
    """The place of each value on the axis, and the smallest distance of two.

    Numbers are at their values (logarithms of those of a logarithmic parameter), so that a slope is one; words are one
    apart.
    """
    if not effect.numeric:
        return [float(place) for place in range(len(effect.levels))], 1.0
    values = [float(level.value) for level in effect.levels]
    places = [math.log10(value) for value in values] if log and min(values) > 0 else values
    gaps = [abs(b - a) for a, b in itertools.pairwise(sorted(places)) if b != a]
    return places, min(gaps, default=1.0)


def _draw_levels(axes: Axes, effect: Effect, *, log: bool) -> None:
    colour = style.COLOURS["cnn_jepa"]
    means = []
    places, gap = level_places(effect, log)
    _draw_undetectable(axes, effect, places, gap)
    for x, level in zip(places, effect.levels, strict=True):
        count = len(level.scores)
        offsets = [0.0] if count == 1 else [gap * _SPREAD * (2 * i / (count - 1) - 1) for i in range(count)]
        axes.scatter(
            [x + offset for offset in offsets], level.scores, s=8, color=colour, alpha=0.4, linewidths=0, zorder=3
        )
        if level.summary.mean is not None:
            means.append((x, level.summary.mean))
            axes.errorbar(
                x, level.summary.mean, yerr=level.summary.ci95, color=colour, marker="o", markersize=4, capsize=2.0,
                elinewidth=0.9, zorder=4,
            )  # fmt: skip
    if effect.numeric and len(means) > 1:
        axes.plot(*zip(*sorted(means), strict=True), color=colour, linewidth=0.8, alpha=0.6, zorder=2)
    axes.set_xticks(places, [level.text for level in effect.levels])
    axes.set_xlim(min(places) - 0.5 * gap, max(places) + 0.5 * gap)
    if max(len(level.text) for level in effect.levels) > 8:
        axes.tick_params(axis="x", labelrotation=20)
    axes.grid(visible=False, axis="x")


def _draw_undetectable(axes: Axes, effect: Effect, places: Sequence[float], gap: float) -> None:
    """Grey bars around the reference's mean: differences from it that are too small for the seeds to detect."""
    if effect.reference is None or effect.reference.summary.mean is None:
        return
    sizes = {places[effect.levels.index(pair.first)]: pair.detectable or 0.0 for pair in effect.tested}
    lows = [effect.reference.summary.mean - size for size in sizes.values()]
    heights = [2 * size for size in sizes.values()]
    axes.bar(list(sizes), heights, 0.5 * gap, lows, color=style.FAINT, alpha=0.2, linewidth=0, zorder=1)


def _limits(effects: Sequence[Effect]) -> tuple[float, float]:
    """The limits of accuracy. Points have to fit in; the bar of an interval over two seeds may leave the figure."""
    levels = [level for effect in effects for level in effect.levels]
    ends = [score for level in levels for score in level.scores] or [0.0]
    spread = max(max(ends) - min(ends), 1.0)
    for level in levels:
        width = level.summary.ci95 or 0.0
        reach = width if level.summary.n >= MIN_RESULT else min(width, 0.5 * spread)
        ends += [] if level.summary.mean is None else [level.summary.mean - reach, level.summary.mean + reach]
    return min(ends) - 0.06 * spread, max(ends) + 0.06 * spread


def heat_map(study: EntryStudy, first: str, second: str) -> Figure | None:
    """The mean score of every combination of two parameters' values; None if one has fewer than two."""
    cells = mean_by_pair(study, first, second)
    rows, columns = _values(study, first), _values(study, second)
    if len(rows) < 2 or len(columns) < 2 or not cells:
        return None
    low, high = min(cells.values()), max(cells.values())
    with style.applied():
        figure, (axes,) = new_figure(min(style.FULL_WIDTH, 1.6 + 0.62 * len(columns)), 0.9 + 0.34 * len(rows))
        table = [[cells.get((row, column), float("nan")) for column in columns] for row in rows]
        axes.imshow(table, cmap="cividis", aspect="auto", vmin=low, vmax=high)
        for y, row in enumerate(rows):
            for x, column in enumerate(columns):
                if (row, column) in cells:
                    value = cells[row, column]
                    dark = value < (low + high) / 2
                    axes.text(x, y, f"{value:.1f}", ha="center", va="center", fontsize=7, color="w" if dark else "k")
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.set(xlabel=_short(second, study.entry), ylabel=_short(first, study.entry))
        axes.grid(visible=False)
        freeze(figure)
    return figure


def _values(study: EntryStudy, name: str) -> list[str]:
    """A parameter's values that have a result, in the order of the file."""
    tried = {value_key(trial.parameters[name]) for trial in complete_trials(study) if name in trial.parameters}
    listed = [value_key(value) for value in study.parameters[name].values or ()]
    return [text for text in dict.fromkeys(listed) if text in tried]


def importances(study: EntryStudy) -> Figure | None:
    """The importance of each parameter by Optuna's estimate; None without one."""
    if not study.importances:
        return None
    names = sorted(study.importances, key=lambda name: study.importances[name])
    with style.applied():
        figure, (axes,) = new_figure(style.COLUMN_WIDTH * 1.3, 0.6 + 0.24 * len(names))
        axes.barh(range(len(names)), [study.importances[name] for name in names], color=style.COLOURS["cnn_jepa"])
        axes.set_yticks(range(len(names)), [_short(name, study.entry) for name in names])
        axes.set_xlabel("Share of importance")
        axes.grid(visible=False, axis="y")
        freeze(figure)
    return figure


def trial_curves(study: EntryStudy) -> Figure | None:
    """Validation linear top-1 over progress, a line per trial (the mean of its seeds); None if no trial has two points.

    Of many complete trials the best and the worst are shown; pruned ones are all shown, thin.
    """
    import matplotlib

    done = [trial for trial in complete_trials(study) if len(_curve(trial)) > 1]
    done.sort(key=lambda trial: trial.value or 0.0, reverse=True)
    chosen = done if len(done) <= _CURVES else [*done[: _CURVES // 2], *done[-_CURVES // 2 :]]
    pruned = [trial for trial in study.trials if trial.state == "pruned" and len(_curve(trial)) > 1]
    if not chosen and not pruned:
        return None
    colours = matplotlib.colormaps["viridis"]
    with style.applied():
        figure, (axes,) = new_figure(style.FULL_WIDTH, 0.42 * style.FULL_WIDTH)
        for trial in pruned:
            axes.plot(*zip(*_curve(trial), strict=True), color=style.FAINT, linewidth=0.5, alpha=0.6)
        for rank, trial in enumerate(chosen):
            shade: Any = colours(0.9 * rank / max(1, len(chosen) - 1))
            label = ", ".join(f"{_short(k, study.entry)} {value_text(v)}" for k, v in trial.parameters.items())
            axes.plot(*zip(*_curve(trial), strict=True), color=shade, marker="o", markersize=2.5, label=label)
        axes.set(xlabel="Progress", ylabel=_SCORE)
        if chosen:
            figure.legend(loc="outside right upper", frameon=False, fontsize=6.5)
        freeze(figure)
    return figure


def only_points(study: EntryStudy) -> bool:
    """Whether every trial was evaluated at most once, and some were, so that there is no curve to draw."""
    return max((len(_curve(trial)) for trial in study.trials), default=0) == 1


def _curve(trial: TrialOutcome) -> list[tuple[float, float]]:
    """The mean over seeds, at the evaluation points that all of them have."""
    curves = [run.curve for run in trial.runs if run.curve]
    length = min((len(points) for points in curves), default=0)
    return [(curves[0][i][0], sum(points[i][1] for points in curves) / len(curves)) for i in range(length)]


def _short(name: str, entry: str) -> str:
    """A parameter's name without its entry."""
    return name.removeprefix(f"{entry}.")


def pairs_of(study: EntryStudy, limit: int = 6) -> list[tuple[str, str]]:
    """The pairs of parameters to draw a map of: those with listed values, the most important first."""
    names = [name for name, kind in study.parameters.items() if kind.values and len(_values(study, name)) > 1]
    names.sort(key=lambda name: -study.importances.get(name, 0.0))
    return list(itertools.combinations(names, 2))[:limit]


def front_sentence(study: EntryStudy) -> str:
    """A sentence that names the trials on the front; empty without a complete trial."""
    front = front_trials(study)
    if not front:
        return ""
    named = listing(
        f"trial {trial.point} ({trial.value or 0.0:.1f}% for {trial_cost(trial):.3g} device-hours)" for trial in front
    )
    return f"On the Pareto front of accuracy and device-hours: {named}."


def trial_front(study: EntryStudy, *, width: float = style.FULL_WIDTH) -> Figure | None:
    """The complete trials' scores over their cost, with runs as small points, and the Pareto front.

    Trials on the front are filled and named by their number, as in the table; the others are hollow. None below two
    complete trials.
    """
    trials, front = scored_trials(study), front_trials(study)
    if len(trials) < 2:
        return None
    best = {trial.number for trial in front}
    with style.applied():
        figure, (axes,) = new_figure(width, (0.5 if width > 4 else 0.8) * width)
        seeds = [
            (run.device_hours, run.linear_top1) for trial in trials for run in trial.runs if run.linear_top1 is not None
        ]
        points = [(trial_cost(trial), trial.value or 0.0) for trial in trials]
        _set_front_limits(axes, [*points, *seeds])
        axes.set(xlabel="Training cost (device-hours)", ylabel=_SCORE)
        colour = style.colour(study.entry)
        if any(len(trial.runs) > 1 for trial in trials):
            xs, ys = zip(*seeds, strict=True)
            axes.scatter(xs, ys, s=7, color=colour, alpha=0.3, linewidths=0, zorder=2.5)
        for trial, (x, y) in zip(trials, points, strict=True):
            on = trial.number in best
            axes.scatter(
                [x], [y], s=28, facecolors=colour if on else "white", edgecolors="white" if on else colour,
                linewidths=0.6 if on else 0.9, zorder=5 if on else 4,
            )  # fmt: skip
        means = [(trial_cost(trial), trial.value or 0.0) for trial in front]
        corners = draw_front(axes, means, axes.get_ylim()[0])
        freeze(figure)
        text = style.text_colour(colour)
        labels = [Label(f"trial {t.point}", x, y, text) for t, (x, y) in zip(front, means, strict=True)]
        labels.append(Label("Pareto front", *corners[-1], style.FAINT))
        place(axes, labels, _obstacles(axes, corners, points, seeds))
    return figure


def _set_front_limits(axes: Axes, points: list[tuple[float, float]]) -> None:
    xs, ys = zip(*points, strict=True)
    pad = 0.14 * max(max(xs) - min(xs), 0.2 * max(xs), 1e-9)
    axes.set_xlim(max(0.0, min(xs) - pad), max(xs) + pad)
    pad = 0.12 * max(max(ys) - min(ys), 1.0)
    axes.set_ylim(max(0.0, min(ys) - pad), min(101.0, max(ys) + pad))


def _obstacles(
    axes: Axes, corners: Sequence[Place], points: Sequence[Place], seeds: Sequence[Place]
) -> list[tuple[Box, float]]:
    """Boxes around the front, the trials and their runs in display coordinates, with the weight of a square pixel."""
    dot = axes.figure.dpi / 72
    shown = [(float(x), float(y)) for x, y in map(axes.transData.transform, corners)]
    boxes = [(box, 1.0) for a, b in itertools.pairwise(shown) for box in segment(a, b, 1.4 * dot)]
    for places, half, weight in ((points, 3.4 * dot, 12.0), (seeds, 1.6 * dot, 4.0)):
        for x, y in map(axes.transData.transform, places):
            boxes.append((Box.around(float(x), float(y), half), weight))
    return boxes
