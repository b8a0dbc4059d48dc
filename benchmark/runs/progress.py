"""Who is told what happens while an experiment is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.schema import Record
    from benchmark.runs.estimate import Estimate


class Reporter(Protocol):
    """Who shows what happens."""

    def planned(self, estimates: list[Estimate], *, whole: bool) -> None:
        """What is to come has been tried out; `whole` with the probes."""

    def run_started(self, spec: RunSpec, position: int, total: int, resumed_at: float | None) -> None:
        """A run begins, or goes on from some progress."""

    def run_advanced(self, progress: float, loss: float, images_per_second: float | None, remaining: float) -> None:
        """A run has come so far; `remaining` in seconds of training."""

    def run_ended(self, record: Record) -> None:
        """A run has its record."""

    def say(self, text: str) -> None:
        """A line for the user."""

    def data_progress(self, done: int, total: int) -> None:
        """So many of the images have been read."""
