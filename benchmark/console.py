"""What the user sees while runs go on: a live bar in a terminal, plain lines elsewhere, nothing with `--quiet`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from benchmark.live import LiveBar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from benchmark.plan import Estimate
    from benchmark.records import Record
    from benchmark.run_plan import RunPlan
    from benchmark.study_records import StudyRecord, TrialOutcome

PLAIN_EVERY = 10.0  # seconds between two plain lines of one run


def seconds_text(seconds: float) -> str:
    """A duration for people: `45s`, `3m20s`, `2h05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _runs_text(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def plain_console() -> Console:
    """The terminal; files and pipes have no width, and a table should not be squeezed for them."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


class ConsoleReporter:
    """Shows an experiment's runs, and work on many images. Leaving its block takes a bar away that is still there.

    Args:
        quiet: show nothing but what goes wrong.
        console: where to.
    """

    def __init__(self, quiet: bool, console: Console) -> None:
        self._quiet = quiet
        self._console = console
        self._bar = LiveBar(console)
        self._label = ""
        self._spoke = time.monotonic()
        self._counting = False
        self._began = (0.0, 0)  # when a bar of images was begun, and how many there were then

    def __enter__(self) -> ConsoleReporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def say(self, text: str) -> None:
        """A line for the user."""
        if not self._quiet:
            self._console.print(escape(text), highlight=False, soft_wrap=True)

    def data_progress(self, done: int, total: int) -> None:
        """Images read so far."""
        self._count("reading images", done, total)

    def counting(self, what: str) -> Callable[[int, int], None]:
        """The same for other work on images, in a few words."""
        return partial(self._count, what)

    def _count(self, what: str, done: int, total: int) -> None:
        """A bar on a terminal, else a line now and then; quick work is not worth one."""
        if self._quiet:
            return
        if self._console.is_terminal:
            self._count_live(what, done, total)
            return
        slow = time.monotonic() - self._spoke > PLAIN_EVERY / 4
        if slow or (self._counting and done >= total):
            self._spoke = time.monotonic()
            self._counting = done < total
            self.say(f"{what}: {done:,} of {total:,}")

    def _count_live(self, what: str, done: int, total: int) -> None:
        if done >= total:
            self.stop()
            return
        state = f"{done:,} of {total:,}"
        if self._bar.label != what:
            self._bar.start(what, done / total, state)
            self._began = (time.monotonic(), done)
        spent, made = time.monotonic() - self._began[0], done - self._began[1]
        if made > 0:
            state += f", {seconds_text(spent * (total - done) / made)} left"
        self._bar.advance(done / total, state)

    def planned(self, estimates: list[Estimate], *, whole: bool) -> None:
        """What the runs will take; a table where the probes were tried out too, else a line."""
        total = seconds_text(sum(estimate.total for estimate in estimates))
        runs = sum(estimate.runs for estimate in estimates)
        if whole:
            self._console.print(_plan_table(estimates))
            self.say(f"{_runs_text(runs)}, about {total} in all, set-up left out{_sharing_text(estimates)}")
        elif any(estimate.training for estimate in estimates):
            hint = "probes left out (`bench plan` tries them out too)"
            self.say(f"{_runs_text(runs)} to come, about {total} of training, {hint}")

    def run_started(self, plan: RunPlan, position: int, total: int, resumed_at: float | None) -> None:
        """A run begins, or goes on from some progress."""
        self._label = f"[{position}/{total}] {plan.entry.name}, seed {plan.seed}, {plan.budget}"
        self._spoke = time.monotonic()
        if self._quiet:
            return
        if resumed_at is not None:
            self.say(f"{self._label}: going on from {resumed_at:.0%}")
        if not plan.method.trainable:
            self.say(f"{self._label}: nothing to train")
            return
        if self._console.is_terminal:
            self._bar.start(self._label, resumed_at or 0.0, "starting")
        elif resumed_at is None:
            self.say(f"{self._label}: starting")

    def run_advanced(self, progress: float, loss: float, images_per_second: float | None, remaining: float) -> None:
        """A run has come so far."""
        if self._quiet:
            return
        speed = f"{images_per_second:,.0f} images/s, " if images_per_second else ""
        state = f"loss {loss:.4f}, {speed}{seconds_text(remaining)} left"
        if self._console.is_terminal:
            self._bar.advance(progress, state)
        elif time.monotonic() - self._spoke > PLAIN_EVERY:
            self._spoke = time.monotonic()
            self.say(f"{self._label}: {progress:.0%}, {state}")

    def run_ended(self, record: Record) -> None:
        """A run has its record."""
        self.stop()
        if record.status == "failed":
            self._console.print(escape(f"{self._label}: failed ({record.message})"), style="red", soft_wrap=True)
            return
        if record.metrics is None or record.ledger is None:
            self.say(f"{self._label}: {record.status}")
            return
        scores = record.metrics.scores
        took = f"{seconds_text(record.ledger.training_time)} training, {seconds_text(record.ledger.total_time)} in all"
        if record.status == "collapsed":
            self.say(f"{self._label}: {record.message}")
        self.say(f"{self._label}: linear {scores.linear_top1:.1f}%, kNN-20 {scores.knn20:.1f}%, {took}")

    def stop(self) -> None:
        """Takes the live bar away."""
        self._bar.stop()

    def table(self, records: list[Record]) -> None:
        """The outcome of all runs."""
        if self._quiet:
            return
        table = Table(
            caption="test split, primary encoder; accuracies in percent",
            caption_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
        )
        many = any(record.dataset.classes > 5 for record in records)  # else top-5 is 100% by definition
        scores = ["top-1", *(["top-5"] if many else []), "kNN-20", "kNN-200"]
        for name in ("entry", "budget", "seed", *scores, "training", "total", "img/s", "status"):
            words = name in ("entry", "budget", "status")
            table.add_column(name, justify="left" if words else "right", no_wrap=name != "status")
        ranked = sorted(records, key=lambda record: -(record.metrics.scores.linear_top1 if record.metrics else -1.0))
        for record in ranked:
            table.add_row(*map(escape, _cells(record, top5=many)))
        self._console.print(table)

    def study(self, record: StudyRecord) -> None:
        """All trials of a sweep, the best of each entry first, and what they cost."""
        if self._quiet:
            return
        self._console.print(_trials_table(record))
        states = [trial.state for one in record.studies for trial in one.trials]
        done = states.count("complete") + states.count("pruned")
        failed = f", {states.count('failed')} failed" if "failed" in states else ""
        self.say(
            f"{done} of {record.trials_wanted} trials done{failed}; {_runs_text(len(record.runs))} took "
            f"{record.device_hours:.2f} device-hours of training, {record.total_hours:.2f} with everything"
        )


def _sharing_text(estimates: list[Estimate]) -> str:
    devices = max((estimate.devices for estimate in estimates), default=1)
    if devices == 1:
        return ""
    return f"; if {devices} devices divide the work without loss, never measured: steps were tried out on one device"


def _plan_table(estimates: list[Estimate]) -> Table:
    table = Table(
        caption="estimates from a few steps of each entry, per run; probes of entries that train nothing are left out",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("entry", "budget", "runs", "ms/step", "img/s", "training", "probes", "device-hours", "memory", "disk"):
        table.add_column(name, justify="left" if name in ("entry", "budget") else "right", no_wrap=True)
    for one in estimates:
        batch = one.plan.experiment.batch_size
        cells = [one.plan.entry.name, str(one.plan.budget), str(one.runs)]
        cells += [f"{1e3 * one.step:,.0f}", f"{batch / one.step:,.0f}"] if one.step else ["-", "-"]
        cells += [seconds_text(one.training), "-" if one.evaluation is None else seconds_text(one.evaluation)]
        cells += [f"{one.device_hours:.2f}" if one.device_hours >= 0.095 else f"{one.device_hours:.2g}"]
        cells += ["-" if size is None else f"{size / 2**20:,.0f} MiB" for size in (one.memory, one.disk)]
        table.add_row(*map(escape, cells))
    return table


def _cells(record: Record, *, top5: bool) -> list[str]:
    from benchmark.analysis.keys import budget_text

    cells = [record.entry, budget_text(record), str(record.seed)]
    if record.metrics is not None:
        scores = record.metrics.scores
        fifth = [scores.linear_top5] if top5 else []
        cells += [f"{x:.1f}" for x in (scores.linear_top1, *fifth, scores.knn20, scores.knn200)]
    else:
        cells += ["-"] * (4 if top5 else 3)
    if record.ledger is not None:
        speed = record.ledger.samples_per_second
        cells += [seconds_text(record.ledger.training_time), seconds_text(record.ledger.total_time)]
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


def _trials_table(record: StudyRecord) -> Table:
    from benchmark.analysis.studies import front_of
    from benchmark.study_records import value_text

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
        best = {trial.point for trial in front_of(one)} if two else set()
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
