"""Progress of runs and of work on images: a live bar on a terminal, plain lines elsewhere, nothing with `--quiet`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from benchmark.cli.tables import plan_table, runs_table, runs_text, sharing_text, trials_table, trials_text
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
    """The terminal; for files and pipes, which have no width, a console that is wide enough for tables."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


class ConsoleReporter:
    """Shows the progress and the outcome of runs. Leaving its block removes a bar that is still shown.

    Args:
        quiet: show failures only.
        console: where to print.
    """

    def __init__(self, quiet: bool, console: Console) -> None:
        self._quiet = quiet
        self._console = console
        self._bar = LiveBar(console)
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
        if self._console.is_terminal:
            self._count_live(what, done, total)
            return
        slow = time.monotonic() - self._last_line > PLAIN_EVERY / 4
        if slow or (self._counting and done >= total):
            self._last_line = time.monotonic()
            self._counting = done < total
            self.say(f"{what}: {done:,} of {total:,}")

    def _count_live(self, what: str, done: int, total: int) -> None:
        if done >= total:
            self.stop()
            return
        state = f"{done:,} of {total:,}"
        if self._bar.label != what:
            self._bar.start(what, done / total, state)
            self._count_start = (time.monotonic(), done)
        start, first = self._count_start
        if done > first:
            state += f", {duration((time.monotonic() - start) * (total - done) / (done - first))} left"
        self._bar.advance(done / total, state)

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
            self._bar.start(self._label, resumed_at or 0.0, "starting")
        elif resumed_at is None:
            self.say(f"{self._label}: starting")

    def run_advanced(self, progress: float, loss: float, images_per_second: float | None, remaining: float) -> None:
        """A run has reached some progress, 0 to 1."""
        if self._quiet:
            return
        speed = f"{images_per_second:,.0f} images/s, " if images_per_second else ""
        state = f"loss {loss:.4f}, {speed}{duration(remaining)} left"
        if self._console.is_terminal:
            self._bar.advance(progress, state)
        elif time.monotonic() - self._last_line > PLAIN_EVERY:
            self._last_line = time.monotonic()
            self.say(f"{self._label}: {progress:.0%}, {state}")

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
        self._bar.stop()

    def table(self, records: list[Record]) -> None:
        """Prints the outcome of all runs."""
        if not self._quiet:
            self._console.print(runs_table(records))

    def study(self, record: StudyRecord) -> None:
        """Prints all trials of a sweep, and what they cost."""
        if not self._quiet:
            self._console.print(trials_table(record))
            self.say(trials_text(record))


class LiveBar:
    """A progress bar that leaves nothing behind; one at a time.

    Attributes:
        label: of the bar that is shown; None where none is.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self.label: str | None = None

    def start(self, label: str, share: float, state: str) -> None:
        """Shows a bar, and removes any other."""
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
        """Sets the bar's progress, 0 to 1; does nothing where no bar is shown."""
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=share, state=state)

    def stop(self) -> None:
        """Removes the bar."""
        if self._live is not None:
            self._live.stop()
            self._live = self._task = self.label = None
