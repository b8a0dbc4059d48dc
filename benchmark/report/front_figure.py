"""A figure of a study with two objectives, accuracy and cost: its trials and their Pareto front."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from benchmark.analysis.fronts import front_trials, scored_trials, trial_cost
from benchmark.report import style
from benchmark.report.canvas import draw_front, freeze, new_figure
from benchmark.report.labels import Box, Label, place, segment
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.records.study import EntryStudy

Place = tuple[float, float]  # device-hours and percent


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
        _set_limits(axes, [*points, *seeds])
        axes.set(xlabel="Training cost (device-hours)", ylabel="Linear probe, validation top-1 (%)")
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


def _set_limits(axes: Axes, points: list[tuple[float, float]]) -> None:
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
