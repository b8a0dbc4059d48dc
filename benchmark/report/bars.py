"""Stacked bars: where a run's total time went, and where the time of a step goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.comparison import Row, valid_rows
from benchmark.report import style
from benchmark.report.canvas import cost_unit, freeze, new_figure

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
# The parts in `breakdown.json`, in the order of a step; older files have `forward` instead of encoder to loss.
# Neighbours differ in lightness, also if parts between them are missing, so that they differ in grey, too.
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

TIME_CAPTION = "Means over the runs that were probed at their end."
_STEP = (
    "Means over profiled steps outside the timed run, each over a whole batch. The profiler waits for the device after "
    "every part, so a bar is an upper bound of a real step."
)
_IN_FORWARD = {
    "encoder": "the encoder is the network that is trained and evaluated",
    "target_encoder": "the target encoder is its moving average, which only gives targets",
    "head": "projector and predictor are all heads",
    "loss": "masks and loss are the rest",
}
_UNDIVIDED = " In older records the forward pass is one part, with all masks, encoders, heads and the loss in it."


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
    """Each entry's total time by phase: one stacked bar per entry, the mean over its measured runs.

    The records are of one comparison and one machine; None if no measured run has a ledger.
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
    """The time of a training step by part: one stacked bar per entry, the mean over its runs.

    Args:
        records: of one comparison and one machine, so that all steps are over as many images.
        parts: seconds of a step by part, by `id` of the record; a part without a name of its own counts as other.

    Returns:
        The figure; None if no run has any parts.
    """
    bars = []
    for row in valid_rows(records):
        known = [_named(parts[id(record)]) for record in row.records if id(record) in parts]
        if any(seconds["forward"] for seconds in known):  # one older file: merge the parts that it does not have
            known = [_folded(seconds) for seconds in known]
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
        freeze(figure)
    return figure


def step_caption(parts: Sequence[Mapping[str, float]]) -> str:
    """What the bars are; only the parts that appear are explained."""
    shown = {name for seconds_of in parts for name, seconds in seconds_of.items() if seconds > 0}
    words = [text for name, text in _IN_FORWARD.items() if name in shown]
    divided = f" In the forward pass, {'; '.join(words)}." if words else ""
    return _STEP + divided + (_UNDIVIDED if "forward" in shown else "")
