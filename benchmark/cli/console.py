"""What the user sees while runs go on: a live bar in a terminal, plain lines elsewhere, nothing with `--quiet`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from benchmark.cli.tables import plan_table, record_cells, runs_text, sharing_text, trials_table
from benchmark.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import TaskID

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.schema import Record
    from benchmark.records.study import StudyRecord
    from benchmark.runs.progress import Estimate

PLAIN_EVERY = 10.0  # seconds between two plain lines of one run


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
            state += f", {duration(spent * (total - done) / made)} left"
        self._bar.advance(done / total, state)

    def planned(self, estimates: list[Estimate], *, whole: bool) -> None:
        """What the runs will take; a table where the probes were tried out too, else a line."""
        total = duration(sum(estimate.total for estimate in estimates))
        runs = sum(estimate.runs for estimate in estimates)
        if whole:
            self._console.print(plan_table(estimates))
            self.say(f"{runs_text(runs)}, about {total} in all, set-up left out{sharing_text(estimates)}")
        elif any(estimate.training for estimate in estimates):
            hint = "probes left out (`bench plan` tries them out too)"
            self.say(f"{runs_text(runs)} to come, about {total} of training, {hint}")

    def run_started(self, spec: RunSpec, position: int, total: int, resumed_at: float | None) -> None:
        """A run begins, or goes on from some progress."""
        self._label = f"[{position}/{total}] {spec.entry.name}, seed {spec.seed}, {spec.budget}"
        self._spoke = time.monotonic()
        if self._quiet:
            return
        if resumed_at is not None:
            self.say(f"{self._label}: going on from {resumed_at:.0%}")
        if not spec.method.trainable:
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
        state = f"loss {loss:.4f}, {speed}{duration(remaining)} left"
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
        took = f"{duration(record.ledger.training_time)} training, {duration(record.ledger.total_time)} in all"
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
            table.add_row(*map(escape, record_cells(record, top5=many)))
        self._console.print(table)

    def study(self, record: StudyRecord) -> None:
        """All trials of a sweep, the best of each entry first, and what they cost."""
        if self._quiet:
            return
        self._console.print(trials_table(record))
        states = [trial.state for one in record.studies for trial in one.trials]
        done = states.count("complete") + states.count("pruned")
        failed = f", {states.count('failed')} failed" if "failed" in states else ""
        self.say(
            f"{done} of {record.trials_wanted} trials done{failed}; {runs_text(len(record.runs))} took "
            f"{record.device_hours:.2f} device-hours of training, {record.total_hours:.2f} with everything"
        )


class LiveBar:
    """One bar at a time, which leaves nothing behind.

    Args:
        console: a terminal.

    Attributes:
        label: of the bar that is there; None where there is none.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self.label: str | None = None

    def start(self, label: str, share: float, state: str) -> None:
        """Shows a bar, in the place of any other."""
        self.stop()
        self.label = label
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[state]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._live.start()
        self._task = self._live.add_task(label, total=1.0, completed=0, state=state)
        self._live.update(self._task, completed=share)

    def advance(self, share: float, state: str) -> None:
        """The bar has come so far, 0 to 1; nothing where there is none."""
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=share, state=state)

    def stop(self) -> None:
        """Takes the bar away."""
        if self._live is not None:
            self._live.stop()
            self._live = self._task = self.label = None
