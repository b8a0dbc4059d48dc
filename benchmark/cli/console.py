"""Progress of runs and of work on images: a live bar on a terminal, plain lines elsewhere, nothing with `--quiet`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from benchmark.cli.tables import (
    comparisons_table,
    cost_table,
    plan_table,
    runs_table,
    runs_text,
    sharing_text,
    trials_table,
    trials_text,
)
from benchmark.text import duration, remaining_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.cost import StepCost
    from benchmark.records.schema import Record
    from benchmark.records.study import StudyRecord
    from benchmark.runs.progress import Estimate

PLAIN_EVERY = 10.0  # seconds between two plain lines of one run


def plain_console() -> Console:
    """The terminal; for files and pipes, which have no width, a console that is wide enough for tables."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


class ConsoleReporter:
    """Shows the progress and the outcome of runs; if `quiet`, failures only. Leaving its block removes a bar."""

    def __init__(self, quiet: bool = False, console: Console | None = None) -> None:
        self._quiet = quiet
        self._console = console or plain_console()
        self._bar: Progress | None = None
        self._label = ""
        self._last_line = time.monotonic()
        self._counting = False
        self._count_start = (0.0, 0)  # when counting began, and at which number

    def __enter__(self) -> ConsoleReporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def say(self, text: str) -> None:
        """Prints a line."""
        if not self._quiet:
            self._console.print(escape(text), highlight=False, soft_wrap=True)

    def data_progress(self, done: int, total: int) -> None:
        """Images read so far."""
        self._count("reading images", done, total)

    def counting(self, what: str) -> Callable[[int, int], None]:
        """A function that shows how many images other work has done; `what` describes the work."""
        return partial(self._count, what)

    def _count(self, what: str, done: int, total: int) -> None:
        """A bar on a terminal, else a line now and then; none for quick work."""
        if self._quiet:
            return
        now, state = time.monotonic(), f"{done:,} of {total:,}"
        if self._console.is_terminal:
            if done >= total:
                self.stop()
                return
            if not self._is_shown(what):
                self._count_start = (now, done)
            start, first = self._count_start
            if done > first:
                state += f", {duration((now - start) * (total - done) / (done - first))} left"
            self._show(what, done / total, state)
        elif now - self._last_line > PLAIN_EVERY / 4 or (self._counting and done >= total):
            self._last_line = now
            self._counting = done < total
            self.say(f"{what}: {state}")

    def _is_shown(self, label: str) -> bool:
        return self._bar is not None and self._bar.tasks[0].description == label

    def _show(self, label: str, share: float, state: str) -> None:
        """Shows a bar with a progress from 0 to 1 in place of any other; it leaves nothing behind."""
        if not self._is_shown(label):
            self.stop()
            columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%  {task.fields[state]}", markup=False))
            label_column = TextColumn("{task.description}", markup=False)
            self._bar = Progress(SpinnerColumn(), label_column, *columns, console=self._console, transient=True)
            self._bar.add_task(label, total=1.0, state=state)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=share, state=state)

    def planned(self, estimates: list[Estimate], *, whole: bool) -> None:
        """Prints what the runs will take: a table where the probes were measured too, else a line."""
        total = duration(sum(estimate.total for estimate in estimates))
        runs = sum(estimate.runs for estimate in estimates)
        if whole:
            self._console.print(plan_table(estimates))
            self.say(f"{runs_text(runs)}, about {total} in all, without set-up{sharing_text(estimates)}")
        elif any(estimate.training for estimate in estimates):
            hint = "without probes (`bench plan` measures them too)"
            self.say(f"{runs_text(runs)} to come, about {total} of training, {hint}")

    def measuring(self, state: str, share: float, left: float | None) -> None:
        """A measurement has come so far; `share` from 0 to 1, `left` in seconds at most."""
        if self._quiet:
            return
        remaining = "" if left is None else f", at most {duration(left)} left"
        if self._console.is_terminal:
            self._show("step costs", share, f"{state}{remaining}")
        elif time.monotonic() - self._last_line > PLAIN_EVERY:
            self._last_line = time.monotonic()
            self.say(f"step costs: {share:.0%}, {state}{remaining}")

    def run_started(self, spec: RunSpec, position: int, total: int, resumed_at: float | None) -> None:
        """A run starts, or resumes from some progress."""
        self._label = f"[{position}/{total}] {spec.entry.name}, seed {spec.seed}, {spec.budget}"
        self._last_line = time.monotonic()
        if self._quiet:
            return
        if resumed_at is not None:
            self.say(f"{self._label}: resuming from {resumed_at:.0%}")
        if not spec.method.trainable:
            self.say(f"{self._label}: nothing to train")
            return
        if self._console.is_terminal:
            self._show(self._label, resumed_at or 0.0, "starting")
        elif resumed_at is None:
            self.say(f"{self._label}: starting")

    def run_advanced(
        self, progress: float, loss: float, images_per_second: float | None, training: float, probes: float | None
    ) -> None:
        """A run has reached some progress, 0 to 1."""
        speed = f"{images_per_second:,.0f} images/s, " if images_per_second else ""
        self._now(self._label, progress, f"loss {loss:.4f}, {speed}{remaining_text(training, probes)}")

    def probing(self, title: str, share: float, state: str, left: float | None) -> None:
        """A probe of the run has reached some progress, 0 to 1."""
        self._now(f"{self._label}: {title}", share, state + ("" if left is None else f", {duration(left)} left"))

    def _now(self, label: str, share: float, state: str) -> None:
        """A bar on a terminal, else a line now and then."""
        if self._quiet:
            return
        if self._console.is_terminal:
            self._show(label, share, state)
        elif time.monotonic() - self._last_line > PLAIN_EVERY:
            self._last_line = time.monotonic()
            self.say(f"{label}: {share:.0%}, {state}")

    def run_ended(self, record: Record) -> None:
        """A run has ended with this record."""
        self.stop()
        if record.status == "failed":
            self._console.print(escape(f"{self._label}: failed ({record.message})"), style="red", soft_wrap=True)
            return
        if record.metrics is None or record.ledger is None:
            self.say(f"{self._label}: {record.status}")
            return
        scores = record.metrics.scores
        times = f"{duration(record.ledger.training_time)} training, {duration(record.ledger.total_time)} in all"
        if record.status == "collapsed":
            self.say(f"{self._label}: {record.message}")
        self.say(f"{self._label}: linear {scores.linear_top1:.1f}%, kNN-20 {scores.knn20:.1f}%, {times}")

    def stop(self) -> None:
        """Removes the live bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def table(self, records: list[Record]) -> None:
        """Prints the outcome of all runs."""
        if not self._quiet:
            self._console.print(runs_table(records))

    def costs(self, cost: StepCost, path: Path) -> None:
        """Prints the cost of a step of every entry, and where the record is."""
        self.stop()
        for entry in cost.entries:
            if entry.status != "measured":
                text = f"{entry.entry}: could not be measured ({entry.message})"
                self._console.print(escape(text), style="red", soft_wrap=True)
        if not self._quiet:
            self._console.print(cost_table(cost))
            self.say(f"step costs: {path}")

    def study(self, record: StudyRecord) -> None:
        """Prints all trials of a sweep, the comparisons of its values, and what it cost."""
        if not self._quiet:
            self._console.print(trials_table(record))
            if (compared := comparisons_table(record)) is not None:
                self._console.print(compared)
            self.say(trials_text(record))
