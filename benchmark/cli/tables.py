"""Tables that the terminal shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from benchmark.text import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.records.schema import Record
    from benchmark.records.study import StudyRecord, TrialOutcome
    from benchmark.runs.progress import Estimate


def runs_text(count: int) -> str:
    """`1 run`, `2 runs`."""
    return "1 run" if count == 1 else f"{count} runs"


def sharing_text(estimates: list[Estimate]) -> str:
    """What an estimate for several devices assumes; empty for one."""
    devices = max((estimate.devices for estimate in estimates), default=1)
    if devices == 1:
        return ""
    return f"; if {devices} devices divide the work without loss, never measured: steps were tried out on one device"


def plan_table(estimates: list[Estimate]) -> Table:
    """What each entry is expected to take."""
    table = Table(
        caption="estimates from a few steps of each entry, per run; probes of entries that train nothing are left out",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("entry", "budget", "runs", "ms/step", "img/s", "training", "probes", "device-hours", "memory", "disk"):
        table.add_column(name, justify="left" if name in ("entry", "budget") else "right", no_wrap=True)
    for one in estimates:
        batch = one.spec.experiment.batch_size
        cells = [one.spec.entry.name, str(one.spec.budget), str(one.runs)]
        cells += [f"{1e3 * one.step:,.0f}", f"{batch / one.step:,.0f}"] if one.step else ["-", "-"]
        cells += [duration(one.training), "-" if one.evaluation is None else duration(one.evaluation)]
        cells += [f"{one.device_hours:.2f}" if one.device_hours >= 0.095 else f"{one.device_hours:.2g}"]
        cells += ["-" if size is None else f"{size / 2**20:,.0f} MiB" for size in (one.memory, one.disk)]
        table.add_row(*map(escape, cells))
    return table


def record_cells(record: Record, *, top5: bool) -> list[str]:
    """A run as a row of the terminal's table."""
    from benchmark.records.budgets import budget_text

    cells = [record.entry, budget_text(record), str(record.seed)]
    if record.metrics is not None:
        scores = record.metrics.scores
        fifth = [scores.linear_top5] if top5 else []
        cells += [f"{x:.1f}" for x in (scores.linear_top1, *fifth, scores.knn20, scores.knn200)]
    else:
        cells += ["-"] * (4 if top5 else 3)
    if record.ledger is not None:
        speed = record.ledger.samples_per_second
        cells += [duration(record.ledger.training_time), duration(record.ledger.total_time)]
        cells += [f"{speed.median:,.0f}" if speed else "-"]
    else:
        cells += ["-"] * 3
    return [*cells, ", ".join([record.status, *record.flags])]


def unlike_table(first: Sequence[Record], second: Sequence[Record]) -> Table | str:
    """What two results folders were run with that is not the same."""
    from benchmark.analysis.compare import unlike

    found = unlike(first, second)
    if not found:
        return "run alike: data, budgets, seeds, machines, versions and commit are the same"
    table = Table("what differs", "first", "second", box=SIMPLE_HEAD)
    for row in found:
        table.add_row(*map(escape, row))
    return table


def change_table(first: Sequence[Record], second: Sequence[Record]) -> Table:
    """What changed between two results folders, entry by entry."""
    from benchmark.analysis.compare import changes

    table = Table("entry", "budget", "n", "top-1", "change", "time", "verdict", box=SIMPLE_HEAD)
    for one in changes(first, second):
        rows = (one.first, one.second)
        means = [None if row is None else row.accuracy.mean for row in rows]
        change = "-" if one.difference is None else f"{one.difference:+.1f}"
        table.add_row(
            escape(one.entry),
            one.budget,
            ", ".join("-" if row is None else str(row.n) for row in rows),
            " to ".join("-" if mean is None else f"{mean:.1f}" for mean in means),
            change + (f" ± {one.ci95:.1f}" if one.ci95 is not None else ""),
            "-" if one.time_ratio is None else f"x {one.time_ratio:.2f}",
            one.verdict,
        )
    return table


def trials_table(record: StudyRecord) -> Table:
    """The trials of a study, the best first."""
    from benchmark.analysis.fronts import front_trials
    from benchmark.records.study import value_text

    two = record.sampler == "nsga2"  # objectives
    front = "; front: no other trial is as accurate for as little" if two else ""
    table = Table(
        caption=f"validation split, primary encoder; mean of the seeds, in percent{front}",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("entry", "point"):
        table.add_column(name)
    for name in ("linear", "kNN-20", "runs", "device-hours"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("front", "state") if two else ("state",):
        table.add_column(name)
    for one in record.studies:
        best = {trial.point for trial in front_trials(one)} if two else set()
        for trial in sorted(one.trials, key=lambda trial: -1.0 if trial.value is None else trial.value, reverse=True):
            names = {name: name.removeprefix(f"{one.entry}.") for name in trial.parameters}
            point = ", ".join(f"{names[name]}={value_text(value)}" for name, value in trial.parameters.items())
            *cells, state = _trial_cells(trial)
            mark = ["*" if trial.point in best else ""] if two else []
            table.add_row(*map(escape, (one.entry, point, *cells, *mark, state)))
    return table


def _trial_cells(trial: TrialOutcome) -> tuple[str, ...]:
    neighbours = [run.knn20 for run in trial.runs if run.knn20 is not None]
    hours = sum(run.device_hours for run in trial.runs)
    return (
        "-" if trial.value is None else f"{trial.value:.1f}",
        f"{sum(neighbours) / len(neighbours):.1f}" if neighbours else "-",
        str(len(trial.runs)),
        f"{hours:.3f}" if trial.runs else "-",
        f"{trial.state} ({trial.message})" if trial.message else trial.state,
    )
