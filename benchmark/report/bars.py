"""Stacked bars: where a run's total time went, and where the time of a step goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.comparison import Row, valid_rows
from benchmark.report import style
from benchmark.report.canvas import cost_unit, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from benchmark.records.schema import Record

Bar = tuple[Row, "Mapping[str, float]"]  # a row and the lengths of its parts, in seconds

_PHASES = {
    "training": ("computing", "#1f4e79"),
    "waiting": ("waiting for data", "#d55e00"),
    "evaluation": ("evaluation", "#56b4e9"),
    "rest": ("set-up, warm-up, checkpoints, logging", "#d8dbe1"),
}
# What `breakdown.json` tells apart, in the order of a step; `forward` is in older files, for all that makes the loss.
# Neighbours differ in lightness, also where parts between them are missing, so that they are told apart in grey, too.
_PARTS = {
    "data": ("data", "#d55e00"),
    "views": ("views", "#f3c26b"),
    "forward": ("forward: encoders, heads, loss", "#1f4e79"),
    "encoder": ("encoder", "#1f4e79"),
    "target_encoder": ("target encoder", "#b9a6d3"),
    "head": ("projector, predictor", "#b5598a"),
    "loss": ("masks and loss", "#efd0dc"),
    "backward": ("backward", "#6a9bc6"),
    "optimizer": ("optimizer", "#0d6a2d"),
    "ema": ("moving average", "#8cc474"),
    "other": ("other", "#d8dbe1"),
}
_FORWARD = ("encoder", "target_encoder", "head", "loss")


def phase_seconds(record: Record) -> dict[str, float] | None:
    """A run's total time in four parts; None without a ledger."""
    if record.ledger is None:
        return None
    phases, waiting = record.ledger.phases, record.ledger.data_wait
    return {
        "training": max(0.0, phases.training - waiting),
        "waiting": waiting,
        "evaluation": phases.evaluation,
        "rest": phases.setup + phases.warmup + phases.checkpointing + phases.logging,
    }


def time_shares(records: Sequence[Record], *, width: float = style.FULL_WIDTH) -> Figure | None:
    """Where each entry's total time went: one stacked bar per entry, the mean over its completed runs.

    Args:
        records: of one comparison and one machine.
        width: in inches.

    Returns:
        The figure; None if no completed run has a ledger.
    """
    bars = []
    for row in valid_rows(records):
        known = [seconds for record in row.measured if (seconds := phase_seconds(record)) is not None]
        if known:
            bars.append((row, _mean(known, _PHASES)))
    if not bars:
        return None
    unit, label = cost_unit([sum(seconds.values()) for _, seconds in bars])
    words = "Total time" + label[label.index(" (") :].replace("device-hours", "hours")
    return _stacked(bars, _PHASES, unit, words, width)


def step_parts(
    records: Sequence[Record], parts: Mapping[int, Mapping[str, float]], *, width: float = style.FULL_WIDTH
) -> Figure | None:
    """Where the time of a training step goes: one stacked bar per entry, the mean over its runs.

    Args:
        records: of one comparison and one machine, so that all steps are over as many images.
        parts: seconds of a step by part, by `id` of the record; a part without a name of its own counts as other.
        width: in inches.

    Returns:
        The figure; None if no run has any parts.
    """
    bars = []
    for row in valid_rows(records):
        known = [_named(parts[id(record)]) for record in row.records if id(record) in parts]
        if any(one["forward"] for one in known):  # an older file among them: what it does not tell apart is not
            known = [_folded(one) for one in known]
        if known:
            bars.append((row, _mean(known, _PARTS)))
    if not bars:
        return None
    return _stacked(bars, _PARTS, 1e-3, "Time of a training step (milliseconds)", width)


def _named(parts: Mapping[str, float]) -> dict[str, float]:
    named = {name: parts.get(name, 0.0) for name in _PARTS}
    named["other"] += sum(seconds for name, seconds in parts.items() if name not in _PARTS)
    return named


def _folded(parts: Mapping[str, float]) -> dict[str, float]:
    within = {name: parts[name] for name in _FORWARD}
    return {**parts, **dict.fromkeys(within, 0.0), "forward": parts["forward"] + sum(within.values())}


def _mean(known: Sequence[Mapping[str, float]], names: Mapping[str, object]) -> dict[str, float]:
    return {name: sum(seconds[name] for seconds in known) / len(known) for name in names}


def _stacked(
    bars: Sequence[Bar], names: Mapping[str, tuple[str, str]], unit: float, label: str, width: float
) -> Figure:
    bars = sorted(bars, key=lambda bar: sum(bar[1].values()))
    used = {name: look for name, look in names.items() if any(seconds[name] > 0 for _, seconds in bars)}
    columns = len(used) if width > 4 and len(used) < 5 else 4 if width > 4 else 2
    with style.applied():
        height = 0.45 + 0.24 * len(bars) + 0.15 * -(-len(used) // columns)
        figure, (axes,) = new_figure(width, height)
        left = [0.0] * len(bars)
        for name, (words, colour) in used.items():
            lengths = [seconds[name] / unit for _, seconds in bars]
            axes.barh(range(len(bars)), lengths, left=left, height=0.66, color=colour, label=words, linewidth=0.3)
            left = [start + length for start, length in zip(left, lengths, strict=True)]
        axes.set_yticks(range(len(bars)), [style.display(row.first.entry) for row, _ in bars])
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper left", ncols=columns, frameon=False, fontsize=6.5, handlelength=1.0)
        figure.canvas.draw()
        figure.set_layout_engine("none")
    return figure
