"""Stacked bars: where a run's total time went, and where the time of a step goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.comparison import Row, valid_rows
from benchmark.report import style
from benchmark.report.canvas import Caption, cost_unit, freeze, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
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

TIME_CAPTION = Caption(
    "Total time by the runs' own clocks: means over an entry's runs with safe times, or over all where none is safe."
)
APART = 0.2  # parts whose sum is farther from the measured step are flagged
_STEP = "Profiled parts of a step, outside the timed runs; black lines: the step as measured{where}."
_FLAGGED = " Pale bars miss it by more than {apart:.0%}: compare the shares of their parts, not their lengths."
_DETAILS = (
    "Means over profiled steps of a whole batch each. The profiler waits for the device after every part, so that "
    "parts can take longer together than a step; they also do where the machine was busier than during the other "
    "measurement."
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
    """Each entry's total time by phase: one stacked bar per entry, the mean over `Row.timed`.

    The records are of one comparison and one machine; None if no measured run has a ledger.
    """
    bars = []
    for row in valid_rows(records):
        known = [seconds for record in row.timed if (seconds := phase_seconds(record)) is not None]
        if known:
            bars.append((row, _mean(known, _PHASES)))
    if not bars:
        return None
    unit, label = cost_unit([sum(seconds.values()) for _, seconds in bars])
    words = "Total time" + label[label.index(" (") :].replace("device-hours", "hours")
    return _stacked(bars, _PHASES, unit, words, width)


def measured_steps(rows: Sequence[Row]) -> dict[int, float]:
    """Measured seconds per step, by `id` of the record: of the step-cost record, else by the run's own clock.

    A step cost of other hardware than the runs' measures none of them.
    """
    measured = {}
    for row in rows:
        priced = row.price is not None and row.own_clock_ratio is not None
        for record in row.records:
            if priced and row.price is not None:
                measured[id(record)] = row.price.seconds(1).median
            elif record.ledger is not None and record.ledger.steps:
                measured[id(record)] = record.ledger.training_time / record.ledger.steps
    return measured


def step_parts(
    records: Sequence[Record],
    parts: Mapping[int, Mapping[str, float]],
    measured: Mapping[int, float],
    *,
    width: float = style.FULL_WIDTH,
) -> Figure | None:
    """The time of a training step by part: one stacked bar per entry, the mean over its runs.

    A black line marks the measured step. Where the parts do not add up to it, the bar is pale and names both.

    Args:
        records: of one comparison and one machine, so that all steps are over as many images.
        parts: seconds of a step by part, by `id` of the record; a part without a name of its own counts as other.
        measured: seconds of a step, by `id` of the record (`measured_steps`).

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
    steps = {id(row): step for row, _ in bars if (step := _measured_step(row, parts, measured)) is not None}
    return _stacked(bars, _PARTS, 1e-3, "Time of a training step (milliseconds)", width, steps)


def _measured_step(row: Row, parts: Mapping[int, Mapping[str, float]], measured: Mapping[int, float]) -> float | None:
    """The mean measured step of the row's runs that have parts; None if none was measured."""
    known = [measured[id(r)] for r in row.records if id(r) in parts and id(r) in measured]
    return sum(known) / len(known) if known else None


def _apart(total: float, step: float | None) -> bool:
    """Whether the parts of a step do not add up to the measured one."""
    return step is not None and abs(total - step) > APART * step


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
    bars: Sequence[Bar],
    names: Mapping[str, tuple[str, str]],
    unit: float,
    label: str,
    width: float,
    steps: Mapping[int, float] | None = None,
) -> Figure:
    """Stacked bars; `steps` are measured totals in seconds, by `id` of the row."""
    from matplotlib.patches import Patch

    steps = steps or {}
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
        _mark_measured(axes, [(steps.get(id(row)), total) for (row, _), total in zip(bars, left, strict=True)], unit)
        axes.set_yticks(range(len(bars)), [style.display(row.first.entry) for row, _ in bars])
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")
        keys = [Patch(color=colour, label=words, linewidth=0.3) for words, colour in used.values()]
        figure.legend(
            handles=keys, loc="outside upper left", ncols=columns, frameon=False, fontsize=6.5, handlelength=1.0
        )
        freeze(figure)
    return figure


def _mark_measured(axes: Axes, bars: Sequence[tuple[float | None, float]], unit: float) -> None:
    """A black line at each measured step; bars (measured in seconds, length in units) that miss it become pale."""
    flagged = []
    for place, (step, total) in enumerate(bars):
        if step is None:
            continue
        axes.plot([step / unit] * 2, [place - 0.42, place + 0.42], color="#000000", linewidth=1.6, zorder=5)
        if _apart(total * unit, step):
            flagged.append(place)
            text = f"parts {total:.0f}, step {step / unit:.0f}"
            axes.annotate(
                text, (max(total, step / unit), place), (4, 0), textcoords="offset points", va="center", fontsize=6.5
            )
    for container in axes.containers:
        for place in flagged:
            container[place].set_alpha(0.35)
    if flagged:
        axes.set_xlim(0.0, 1.28 * max(max(total, (step or 0.0) / unit) for step, total in bars))


def step_caption(
    records: Sequence[Record], parts: Mapping[int, Mapping[str, float]], measured: Mapping[int, float], where: str
) -> Caption:
    """What the bars are; only the parts that appear are explained.

    Args:
        records, parts, measured: as of `step_parts`.
        where: what the steps were measured by.
    """
    rows = [(row, [_named(parts[id(r)]) for r in row.records if id(r) in parts]) for row in valid_rows(records)]
    totals = [
        (sum(_mean(known, _PARTS).values()), _measured_step(row, parts, measured)) for row, known in rows if known
    ]
    shown = {name for _, known in rows for seconds in known for name in seconds if seconds[name] > 0}
    words = [text for name, text in _IN_FORWARD.items() if name in shown]
    divided = f" In the forward pass, {'; '.join(words)}." if words else ""
    flagged = _FLAGGED.format(apart=APART) if any(_apart(*pair) for pair in totals) else ""
    return Caption(_STEP.format(where=where) + flagged, _DETAILS + divided + (_UNDIVIDED if "forward" in shown else ""))
