"""Accounts for a run's time in exclusive phases that sum to the total (RULES 7 to 10)."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from benchmark.records.schema import LedgerRecord, PhaseSeconds, Point, Throughput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.cost.meter import Meter

Phase = Literal["setup", "warmup", "training", "evaluation", "checkpointing", "logging"]
PHASES: tuple[Phase, ...] = get_args(Phase)


class Ledger:
    """Charges every moment of a run to one phase.

    A phase entered inside another pauses it. The device is synchronised when the phase changes and nowhere else.

    Args:
        synchronize: waits until the device has finished its work; does nothing on a CPU.
        clock: monotonic, in seconds.
        devices: how many the run uses.
    """

    def __init__(
        self,
        synchronize: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
        devices: int = 1,
    ) -> None:
        self.synchronize = synchronize
        self._clock = clock
        self.devices = devices
        self._earlier = (0.0, 0.0)  # seconds of training and device-seconds before the run was resumed
        self._seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self._phase: Phase = "setup"
        self._since = clock()
        self._data_wait = 0.0
        self._windows: list[float] = []
        self._window_start: tuple[float, int] | None = None
        self._points: list[Point] = []
        self.steps = self.samples = self.views = self.encoded_pixels = self.resumed = 0
        self.flops_per_step: float | None = None
        self.tracked = False

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Charges what happens inside to a phase."""
        before = self._phase
        self._switch(name)
        try:
            yield
        finally:
            self._switch(before)

    def _switch(self, name: Phase) -> None:
        self.synchronize()
        now = self._clock()
        self._seconds[self._phase] += now - self._since
        self._phase, self._since = name, now

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Counts the time inside as data wait, if it is a part of training."""
        start = self._clock()
        try:
            yield
        finally:
            if self._phase == "training":
                self._data_wait += self._clock() - start

    def count(self, samples: int, views: int, pixels: int) -> None:
        """Counts a finished step, in which so many views of each sample, and pixels of them, passed an encoder."""
        self.steps += 1
        self.samples += samples
        self.views += samples * views
        self.encoded_pixels += samples * pixels

    def close_window(self) -> None:
        """Ends a window of throughput (over training time, so that no other phase enters it), and begins the next."""
        now = self.training_time
        if self._window_start is not None:
            since, samples = self._window_start
            if now > since and self.samples > samples:
                self._windows.append((self.samples - samples) / (now - since))
        self._window_start = (now, self.samples)

    def mark_point(self, progress: float) -> None:
        """Records the training time at an evaluation point."""
        self._points.append(Point(progress=progress, training_time=self.training_time))

    @property
    def training_time(self) -> float:
        """Seconds of training so far, the phase under way included."""
        running = self._clock() - self._since if self._phase == "training" else 0.0
        return self._seconds["training"] + running

    @property
    def data_wait(self) -> float:
        """Seconds of training spent waiting for data so far."""
        return self._data_wait

    def catch_up(self, training_time: float) -> None:
        """Charges training up to `training_time`, the slowest rank's (RULES 8)."""
        self._seconds["training"] += max(0.0, training_time - self.training_time)

    def mean_devices(self, training_time: float) -> float:
        """The mean number of devices over the run's training; resuming may change it."""
        return self._device_seconds(training_time) / training_time if training_time > 0.0 else float(self.devices)

    def _device_seconds(self, training_time: float) -> float:
        seconds, device_seconds = self._earlier
        return device_seconds + self.devices * (training_time - seconds)

    @property
    def images_per_second(self) -> float | None:
        """Of the last window."""
        return self._windows[-1] if self._windows else None

    def record(self, peak_memory_bytes: int | None, meter: Meter | None = None) -> LedgerRecord:
        """Everything up to now, for the run's record; a meter adds the samples taken meanwhile."""
        self._switch(self._phase)
        training = self._seconds["training"]
        throughput = None
        if self._windows:
            p10, median, p90 = map(float, np.percentile(self._windows, [10, 50, 90]))
            throughput = Throughput(median=median, p10=p10, p90=p90)
        return LedgerRecord(
            phases=PhaseSeconds(**self._seconds),
            data_wait=self._data_wait,
            training_time=training,
            total_time=sum(self._seconds.values()),
            device_hours=self._device_seconds(training) / 3600,
            devices=self.devices,
            steps=self.steps,
            samples=self.samples,
            views=self.views,
            encoded_pixels=self.encoded_pixels,
            samples_per_second=throughput,
            flops_per_step=self.flops_per_step,
            flops=self.flops,
            **({} if meter is None else meter.record()),
            peak_memory_bytes=peak_memory_bytes,
            evaluation_points=self._points,
            resumed=self.resumed,
            tracked=self.tracked,
        )

    @property
    def flops(self) -> float | None:
        """FLOPs of all steps so far; None if those of a step were not counted."""
        if self.steps == 0:
            return 0.0
        return None if self.flops_per_step is None else self.flops_per_step * self.steps

    def state_dict(self) -> dict[str, Any]:
        """Plain data for resuming."""
        self._switch(self._phase)
        return {
            "seconds": dict(self._seconds),
            "device_seconds": self._device_seconds(self._seconds["training"]),
            "data_wait": self._data_wait,
            "windows": list(self._windows),
            "points": [point.model_dump() for point in self._points],
            "counts": [self.steps, self.samples, self.views, self.resumed, self.encoded_pixels],
            "flops_per_step": self.flops_per_step,
            "tracked": self.tracked,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes from a saved ledger; the set-up of this start is added to the earlier one's."""
        for name, seconds in state["seconds"].items():
            self._seconds[name] += seconds
        trained = state["seconds"]["training"]
        self._earlier = (trained, state.get("device_seconds", trained))
        self._data_wait = state["data_wait"]
        self._windows = list(state["windows"])
        self._points = [Point(**point) for point in state["points"]]
        self.steps, self.samples, self.views, self.resumed, *pixels = state["counts"]
        (self.encoded_pixels,) = pixels or (0,)  # a state of an earlier version has none
        self.flops_per_step = state.get("flops_per_step")
        self.tracked |= state.get("tracked", False)
        self.resumed += 1
