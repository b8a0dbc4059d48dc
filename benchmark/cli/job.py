"""The side of a command that a job of `bench submit` runs: it reports to the job's folder."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.console import ConsoleReporter
from benchmark.records.jobs import write_progress

if TYPE_CHECKING:
    from benchmark.experiment.run_spec import RunSpec

EVERY = 2.0  # seconds between two reports
Job = Annotated[
    Path | None, typer.Option("--job", hidden=True, help="Folder of the job that this command carries out.")
]


class JobReporter(ConsoleReporter):
    """Writes plain lines, and how far the run has come into the job's folder."""

    def __init__(self, folder: Path, quiet: bool = False) -> None:
        super().__init__(quiet)
        self._folder = folder
        self._written = 0.0

    def run_started(self, spec: RunSpec, position: int, total: int, resumed_at: float | None) -> None:
        """A run starts, or resumes from some progress."""
        super().run_started(spec, position, total, resumed_at)
        self._write(resumed_at or 0.0, None, "starting")

    def run_advanced(
        self, progress: float, loss: float, images_per_second: float | None, training: float, probes: float | None
    ) -> None:
        """A run has reached some progress, 0 to 1."""
        super().run_advanced(progress, loss, images_per_second, training, probes)
        if time.monotonic() - self._written > EVERY:
            self._write(progress, training + (probes or 0.0), "training")

    def _write(self, progress: float, left: float | None, doing: str) -> None:
        self._written = time.monotonic()
        with suppress(OSError):  # a full disk: the run says so where it matters
            write_progress(self._folder, progress, left, doing)


def reporter_of(job: Path | None, *, quiet: bool) -> ConsoleReporter:
    """The reporter of a command that may be a job."""
    return ConsoleReporter(quiet) if job is None or quiet else JobReporter(job)
