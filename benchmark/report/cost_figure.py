"""A report's main figure: each entry's training time and accuracy."""

from __future__ import annotations

from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import network_kind
from benchmark.analysis.comparison import MIN_RESULT, Row
from benchmark.analysis.fronts import compared_cost, fronts, own_time_limit
from benchmark.analysis.published import on_published_axes
from benchmark.records.budgets import budget_kind, budget_text, is_cost_budget
from benchmark.report import style
from benchmark.report.axis_limits import set_limits
from benchmark.report.canvas import Caption, cost_unit, draw_front, freeze, ladders, new_figure
from benchmark.report.labels import Box, Label, place, segment
from benchmark.report.plot import Plot
from benchmark.report.published_figure import draw_points
from benchmark.report.scored import accuracy_label, scored_weights
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Fronts = dict[str, list[tuple[float, float]]]  # the corners of each Pareto front, by kind of network

_MARKER, _SEED, _BAR, _LINE = 12.0, 4.0, 3.0, 1.0  # what a square pixel weighs for a label that covers it
_LETTERS = 56  # of an axis label, that fit a panel

_CAPTION = (
    "{time} and accuracy of each entry: large markers are means over seeds, small ones seeds, lines join budgets. Grey "
    "steps: {fronts} of the self-supervised means."
)
_DETAILS = (
    "From three seeds on, bars are 95% intervals{axes}; below, a bar without ends is the sampling error of the test "
    "split, which does not include the variation between seeds. {clock} {scored} No entry on a Pareto front is beaten "
    "in both cost and accuracy by another of the same kind of network, and all exceed its untrained networks (dashed "
    "lines, which cost nothing), whether or not the differences are significant. Budgets of data and budgets of cost "
    "have a panel each. If all entries were given the same time, they are side by side in order of accuracy, without "
    "an axis of cost and without a front."
)
_OWN = "Times are means over the runs with safe times; an entry without any is hollow and on no front."
_CALIBRATED = (
    "Calibrated time is steps x seconds per step, from step-cost record {key} of {hardware}; its bars are the 95% "
    "intervals of that measurement, whatever the number of seeds, which share it.{doubts}"
)
_BOTH = " A panel that names no hardware below its axis has the times of the runs' own clocks. {own}"


def caption(entries: Sequence[Row]) -> Caption:
    """The caption of the figure of these rows; its details say by which clock costs are, and who measured it."""
    paid = [row for rows in panels(entries).values() for row in rows if _has_paid(row)]
    several = len({network_kind(row.first) for row in paid}) > 1
    words = {"fronts": "the Pareto front of each kind of network" if several else "the Pareto front"}
    scored = scored_weights([record for row in paid for record in row.measured])
    cost = next((row.price.cost for row in paid if row.price is not None), None)
    if cost is None:
        details = _DETAILS.format(axes=" on both axes", clock=_OWN, scored=scored)
        return Caption(_CAPTION.format(time="Training time", **words), details)
    doubts = f" That record is flagged ({listing(cost.flags)}): its costs are hollow and on no front." * bool(
        cost.flags
    )
    clock = _CALIBRATED.format(key=cost.key[:12], hardware=cost.hardware.text, doubts=doubts)
    clock += _BOTH.format(own=_OWN) if any(row.price is None for row in paid) else ""
    details = _DETAILS.format(axes=" of accuracy", clock=clock, scored=scored)
    return Caption(_CAPTION.format(time="Calibrated training time", **words), details)


def cost_vs_accuracy(entries: Sequence[Row], *, width: float = style.FULL_WIDTH) -> Figure:
    """Each entry's training time and linear top-1, as `caption` says.

    Below three seeds the bars are no intervals: Student's of two is twelve times their spread and would hide the rest.
    A supervised row far above all others is drawn at the upper edge, with its value. The panels have one scale of
    accuracy (rule 21). On ImageNet-100 at 224 px the published runs are behind ours: whole jobs on other machines, and
    no part of the front.

    Args:
        entries: rows of one ladder (equal but for the budget) and one clock, because costs are compared: priced by one
            record, or of one machine. Those without metrics and invalid ones are not drawn.
    """
    parts = panels(entries)
    wide = width > 4
    with style.applied():
        shape = {"columns": len(parts)} if wide else {"rows": len(parts)}
        height = (0.56 * width if wide else 0.86 * width) if len(parts) == 1 or wide else 1.9 * width
        figure, axes = new_figure(width, height, **shape)
        plots = _plots(parts, axes)
        ends = [end for plot in plots for end in plot.axes.get_ylim()]
        for plot in plots:  # one scale of accuracy for all panels, so that one can look across
            plot.axes.set_ylim(min(ends), max(ends))
        drawn = [_draw_panel(plot) for plot in plots]
        freeze(figure)
        for plot, steps in zip(plots, drawn, strict=True):
            theirs = draw_points(plot.axes) if plot.published else []
            labels = [*_labels(plot, steps), *(label for label, _ in theirs)]
            place(plot.axes, labels, [*_obstacles(plot, steps), *(obstacle for _, obstacle in theirs)])
    return figure


def panels(entries: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each panel by its title, budgets of data and budgets of cost apart; one panel if nothing was paid."""
    rows = [row for row in entries if row.invalid is None and row.accuracy.mean is not None]
    parts = {"Same data": [row for row in rows if not is_cost_budget(row.first)]}
    parts["Same cost"] = [row for row in rows if is_cost_budget(row.first)]
    return {name: _of_one_clock(part) for name, part in parts.items() if any(map(_has_paid, part))} or {"": rows}


def _of_one_clock(rows: Sequence[Row]) -> list[Row]:
    """The rows of a panel; without prices if one has none or has a budget of the runs' own time."""
    paid = [row for row in rows if _has_paid(row)]
    own = any(row.price is None or own_time_limit(row) is not None for row in paid)
    return [replace(row, price=None) for row in rows] if own else list(rows)


def _plots(parts: Mapping[str, list[Row]], every: Sequence[Axes]) -> list[Plot]:
    """The panels with their axes set up, but nothing drawn."""
    paid = [row for rows in parts.values() for row in rows if _has_paid(row)]
    published = bool(paid) and all(on_published_axes(row.first) for row in paid)
    # Published costs are in device-hours; several devices make ours so, too.
    devices = 2 if published else max(map(_devices, paid), default=1)
    costs = [compared_cost(row) for row in paid]
    plots = []
    for axes, (name, part) in zip(every, parts.items(), strict=True):
        hardware = next((row.price.cost.hardware for row in part if row.price is not None), None)
        unit, label = cost_unit(costs, devices, "Training" if hardware is None else "Calibrated")
        plot = Plot(
            axes,
            [row for row in part if _has_paid(row)],
            [row for row in part if row.first.method == "random_init"],
            unit,
            published and not all(is_cost_budget(row.first) for row in part),
        )
        xlabel = f"{budget_text(plot.paid[0].first)} each" if plot.equal else _wrapped(label + _lines(plot))
        xlabel += "" if hardware is None else f"\n{_wrapped(f'on {hardware.text}')}"
        axes.set(xlabel=xlabel, ylabel=accuracy_label("Linear", "test", [row.first for row in part]))
        set_limits(plot)
        _draw_key(plot)
        if len(parts) > 1:
            axes.set_title(f"{name}\n", loc="left")  # above the key, which is as wide as a panel
        plots.append(plot)
    return plots


def _lines(plot: Plot) -> str:
    """The budgets that the longest line joins, such as `, lines: 2 to 10 epochs`; empty if no line joins any."""
    rungs = [row.first for row in max(plot.ladders(), key=len, default=[])]
    if len(rungs) < 2:
        return ""
    first, last = budget_text(rungs[0]), budget_text(rungs[-1])
    return f", lines: {first.split()[0] if budget_kind(rungs[0]) == budget_kind(rungs[-1]) else first} to {last}"


def _wrapped(text: str) -> str:
    """A list in lines that fit a panel, broken at its commas and before what set a budget."""
    words = text.replace(" ", "\N{NO-BREAK SPACE}").replace(",\N{NO-BREAK SPACE}", ", ")
    words = words.replace("\N{NO-BREAK SPACE}by\N{NO-BREAK SPACE}", " by\N{NO-BREAK SPACE}")
    return fill(words, _LETTERS, break_long_words=False).replace("\N{NO-BREAK SPACE}", " ")


def _devices(row: Row) -> int:
    own = max(record.environment.devices for record in row.records)
    return own if row.price is None else row.price.cost.hardware.devices


def _has_paid(row: Row) -> bool:
    return row.first.method != "random_init" and (row.cost.mean or 0.0) > 0.0


def _draw_panel(plot: Plot) -> Fronts:
    """Draws untrained networks, fronts and entries; returns each front's corners, none if all costs are equal."""
    for rungs in ladders(plot.floors):
        level = rungs[-1].accuracy.mean or 0.0
        plot.axes.axhline(level, color=style.FAINT, linewidth=0.8, dashes=(5, 3), zorder=1.5)
    every = {} if plot.equal else fronts([*plot.paid, *plot.floors])
    corners = {}
    for kind, rows in every.items():
        own = [row for row in plot.floors if network_kind(row.first) == kind] or plot.floors
        floor = max((row.accuracy.mean or 0.0 for row in own), default=plot.axes.get_ylim()[0])
        corners[kind] = draw_front(plot.axes, [plot.at(row) for row in rows], floor, dashed=kind == "ViT")
    for rungs in plot.ladders():
        _draw_entry(plot, rungs)
    return corners


def _draw_key(plot: Plot) -> None:
    """One faint line above the axes: the meaning of the markers and of the bars."""
    used = {style.marker(row.first) for row in plot.paid}
    words = {"o": "\u25cf CNN", "s": "\u25a0 ViT", "D": "\u25c6 supervised"}
    parts = [text for marker, text in words.items() if marker in used]
    parts += ["\u25cb published, not ours"] if plot.published else []
    parts += ["hollow: times unsafe"] if any(row.unsafe for row in plot.paid) and not plot.equal else []
    counts = sorted({len(row.measured) for row in [*plot.paid, *plot.floors]})
    if counts:
        n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        if counts[0] < MIN_RESULT <= counts[-1]:
            bars = f"95% (n < {MIN_RESULT}: sampling)"  # the caption says more
        else:
            bars = "95% intervals" if counts[-1] >= MIN_RESULT else "sampling error"
        parts.append(f"n = {n}, bars: {bars}")
    text = "\u2003".join(parts)
    # A narrow figure needs smaller letters for a long key.
    points = 72 * plot.axes.get_window_extent().width / plot.axes.figure.dpi
    size = min(6.5, 1.75 * points / max(1, len(text)))
    plot.axes.set_title(text, loc="right", fontsize=size, fontweight="normal", color=style.FAINT)


def _draw_entry(plot: Plot, rungs: list[Row]) -> None:
    """One entry: its seeds, its means with bars, and the line that joins its rungs."""
    axes, first = plot.axes, rungs[0].first
    colour, marker = style.colour(first.entry, first.method), style.marker(first)
    if len(rungs) > 1:
        points = [plot.at(row) for row in rungs]
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.0, alpha=0.8, zorder=3)
    for row in rungs:
        if row.n > 1:
            seeds = plot.seeds(row)
            xs, ys = [x for x, _ in seeds], [y for _, y in seeds]
            axes.scatter(xs, ys, s=7, marker=marker, color=colour, alpha=0.35, linewidths=0, zorder=3.5)
        _draw_bars(plot, row, colour)
        above = plot.at(row)[1] > axes.get_ylim()[1]
        if not above or row is rungs[-1]:
            _draw_mean(plot, row, colour, "^" if above else marker)


def _draw_bars(plot: Plot, row: Row, colour: str) -> None:
    """The row's intervals; a sampling error must not look like an interval, so it has no caps."""
    _draw_bar(plot, row, colour, xerr=plot.reach(row), interval=True)
    _draw_bar(plot, row, colour, yerr=plot.height(row), interval=row.accuracy.n >= MIN_RESULT)


def _draw_bar(
    plot: Plot, row: Row, colour: str, *, interval: bool, xerr: float | None = None, yerr: float | None = None
) -> None:
    plot.axes.errorbar(
        *plot.at(row),
        xerr=xerr,
        yerr=yerr,
        color=colour,
        elinewidth=0.8 if interval else 0.6,
        capsize=1.6 if interval else 0.0,
        capthick=0.8,
        alpha=1.0 if interval else 0.6,
        zorder=4,
    )


def _draw_mean(plot: Plot, row: Row, colour: str, marker: str) -> None:
    """The row's mean, at the upper edge if it is off the scale; hollow if its times are unsafe."""
    x, y = plot.at(row)
    plot.axes.scatter(
        [x],
        [min(y, plot.axes.get_ylim()[1])],
        s={"^": 26, "D": 22}.get(marker, 28),
        marker=marker,
        color="white" if row.unsafe else colour,
        edgecolors=colour if row.unsafe else "white",
        linewidths=1.0 if row.unsafe else 0.6,
        zorder=5,
        clip_on=False,
    )


def _labels(plot: Plot, steps: Fronts) -> list[Label]:
    """Labels for each entry's last rung, for the untrained networks and for the fronts."""
    left, right = plot.axes.get_xlim()
    top = plot.axes.get_ylim()[1]
    labels = []
    for rungs in plot.ladders():
        row = rungs[-1]
        x, y = plot.at(row)
        name = style.display(row.first.entry)
        name += " (collapsed)" if row.collapsed else ""
        text = f"{name} {y:.1f}% (off scale)" if y > top else name
        labels.append(Label(text, x, min(y, top), style.text_colour(style.colour(row.first.entry, row.first.method))))
    for rungs in ladders(plot.floors):
        y = rungs[-1].accuracy.mean or 0.0
        labels.append(Label(style.display(rungs[-1].first.entry), left, y, style.FAINT, along=right))
    several = len({network_kind(row.first) for row in plot.paid}) > 1
    for kind, corners in steps.items():
        name = f"{kind} front" if several else "Pareto front"
        labels.append(Label(name, corners[-2][0], corners[-1][1], style.FAINT, along=right))
    return labels


def _obstacles(plot: Plot, steps: Fronts) -> list[tuple[Box, float]]:
    """Boxes that labels should not cover, in display coordinates, with the weight of a square pixel."""
    dot = plot.axes.figure.dpi / 72
    left, right = plot.axes.get_xlim()
    low, high = plot.axes.get_ylim()
    boxes: list[tuple[Box, float]] = []

    def add(points: list[tuple[float, float]], half: float, weight: float) -> None:
        shown = [plot.pixels((min(max(x, left), right), min(max(y, low), high))) for x, y in points]
        for start, end in zip(shown, shown[1:] or shown, strict=False):
            boxes.extend((box, weight) for box in segment(start, end, half * dot))

    for rungs in plot.ladders():
        add([plot.at(row) for row in rungs], 1.0, _LINE)
        for row in rungs:
            x, y = plot.at(row)
            add([(x, y)], 3.4, _MARKER)
            for seed in plot.seeds(row) if row.n > 1 else []:
                add([seed], 1.6, _SEED)
            if (height := plot.height(row)) is not None:
                add([(x, y - height), (x, y + height)], 1.2, _BAR)
            if (reach := plot.reach(row)) is not None:
                add([(x - reach, y), (x + reach, y)], 1.2, _BAR)
    for floor in plot.floors:
        add([(left, floor.accuracy.mean or 0.0), (right, floor.accuracy.mean or 0.0)], 1.0, _LINE)
    for corners in steps.values():
        add(corners, 1.4, _LINE)
    return boxes
