"""What is reported while an experiment runs: estimates before it, progress, records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.cost import Interval
    from benchmark.records.schema import Record


@dataclass(frozen=True)
class Estimate:
    """What one run of an entry costs, the same for its other seeds. What was not tried out is None.

    With several devices the training is estimated as if they divided each step without loss, which was never
    measured; everything else is that of one device, on which the steps were tried out.

    Attributes:
        step: seconds of one training step on one device, data wait included; from a step-cost record, on all devices.
        training: seconds.
        evaluation: seconds of the probes during training and at its end.
        samples: images drawn.
        memory: peak of what was tried out, in bytes.
        disk: bytes that the run's folder holds at most, two saved states included.
        devices: how many share each step.
        interval: 95% interval of `training`, from a step-cost record.
        source: that record, for readers.
    """

    spec: RunSpec
    runs: int
    step: float | None
    training: float
    evaluation: float | None
    samples: float
    memory: int | None
    disk: int | None
    devices: int = 1
    interval: Interval | None = None
    source: str | None = None

    @property
    def device_hours(self) -> float:
        """Training time of all runs of this kind x devices, in hours."""
        return self.runs * self.training * self.devices / 3600

    @property
    def total(self) -> float:
        """Seconds of all runs of this kind, set-up left out."""
        return self.runs * (self.training + (self.evaluation or 0.0))


class Reporter(Protocol):
    """Shows progress to the user."""

    def planned(self, estimates: list[Estimate], *, whole: bool) -> None:
        """Each entry has been tried out; `whole` with the probes."""

    def run_started(self, spec: RunSpec, position: int, total: int, resumed_at: float | None) -> None:
        """A run begins, or resumes from some progress."""

    def run_advanced(
        self, progress: float, loss: float, images_per_second: float | None, training: float, probes: float | None
    ) -> None:
        """A run has come so far; `training` and `probes` in seconds that remain, None where that is not known yet."""

    def probing(self, title: str, share: float, state: str, left: float | None) -> None:
        """A probe of the run has come so far; `share` from 0 to 1, `left` in seconds where it can be estimated."""

    def run_ended(self, record: Record) -> None:
        """A run has ended and has its record."""

    def say(self, text: str) -> None:
        """A line for the user."""

    def data_progress(self, done: int, total: int) -> None:
        """So many of the images have been read."""
