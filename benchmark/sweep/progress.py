"""Progress messages of a sweep: how far each run is, and the time that remains for all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmark.text import duration, remaining_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.schema import Record
    from benchmark.runs.progress import Estimate

_EVERY = 30.0  # seconds between two lines about one run


class TrialReporter:
    """The reporter of one run among many: a line now and then."""

    def __init__(self, label: str, say: Callable[[str], None]) -> None:
        self._label, self._say = label, say
        self._said_at = -_EVERY
        self._said: set[str] = set()

    def planned(self, estimates: list[Estimate], *, whole: bool) -> None:
        """Nothing is tried out before a trial."""

    def run_started(self, spec: RunSpec, position: int, total: int, resumed_at: float | None) -> None:
        """The run begins, or resumes."""
        if resumed_at is not None:
            self._say(f"{self._label}: resuming from {resumed_at:.0%}")

    def run_advanced(
        self, progress: float, loss: float, images_per_second: float | None, training: float, probes: float | None
    ) -> None:
        """The run has come so far."""
        self._now_and_then(f"{progress:.0%}, {remaining_text(training, probes)}")

    def probing(self, title: str, share: float, state: str, left: float | None) -> None:
        """A probe of the run has come so far."""
        self._now_and_then(f"{title}: {state}" + ("" if left is None else f", {duration(left)} left"))

    def _now_and_then(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said_at >= _EVERY:
            self._said_at = now
            self._say(f"{self._label}: {text}")

    def run_ended(self, record: Record) -> None:
        """Says nothing: the worker reports the trial's score."""

    def say(self, text: str) -> None:
        """A line for the user, once."""
        if text not in self._said:
            self._said.add(text)
            self._say(f"{self._label}: {text}")

    def data_progress(self, done: int, total: int) -> None:
        """Reading images for one run among many is not worth a line."""


class Pace:
    """Estimates the remaining time from the pace so far, of all workers together."""

    def __init__(self, done: int) -> None:
        self._before = done
        self._start = time.monotonic()

    def text(self, done: int, total: int) -> str:
        """Such as `7 of 18 done, about 40m10s left`; without an estimate at the beginning."""
        since = done - self._before
        left = (time.monotonic() - self._start) / since * (total - done) if since > 0 else 0.0
        return f"{done} of {total} done" + (f", about {duration(left)} left" if left else "")
