"""Samples a run's sources once a second while it trains: energy, load of other processes, clocks.

The growth of counters is added up over the intervals that lie inside training, and gauges are averaged over them, so
that evaluation and set-up are left out. What cannot be read is None, never estimated (rules 10 and 13).
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from benchmark.records.schema import EnergyRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmark.cost.sources import Source

INTERVAL = 1.0  # seconds
MOSTLY = 0.9  # share of an interval that has to be training


class Meter:
    """Samples counters and gauges in a thread of its own while a run trains.

    An interval between two readings counts where nearly all of it was training, by `training_time`.
    """

    def __init__(
        self, sources: Sequence[Source], training_time: Callable[[], float], interval: float = INTERVAL
    ) -> None:
        self._sources = {source.name: source for source in sources}
        self._training_time = training_time
        self._interval = interval
        self._last: dict[str, float] | None = None
        self._since = (0.0, 0.0)
        self.seconds = 0.0
        self.grown: dict[str, float] = dict.fromkeys(self._sources, 0.0)  # of a gauge: its value x seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._interval):
            self.tick(time.monotonic())

    def tick(self, now: float) -> None:
        """One reading; `now` in seconds of a monotonic clock."""
        values = {}
        for name, source in list(self._sources.items()):
            try:
                values[name] = source.read()
            except OSError:
                # Without the rest of the run, the value for the run is unknown.
                del self._sources[name], self.grown[name]
        trained = self._training_time()
        whole, training = now - self._since[0], trained - self._since[1]
        # Logging is too short to matter; an interval with an evaluation or a save in it is left out.
        if self._last is not None and training >= MOSTLY * whole:
            self.seconds += whole
            for name, value in values.items():
                if not self._sources[name].grows:
                    self.grown[name] += value * whole
                elif name in self._last:
                    self.grown[name] += value - self._last[name]
        self._last, self._since = values, (now, trained)

    def record(self) -> dict[str, Any]:
        """Fields of a ledger's record, over whole intervals of training; what was not measured is left out.

        The system counts in hundredths of a second: a few thousandths of a core are noise.
        """
        if not self.seconds:
            return {}
        names = {"other_cores": "others", "clock_mhz": "clock", "throttled": "throttled"}
        fields: dict[str, Any] = {
            field: max(0.0, self.grown[name] / self.seconds) for field, name in names.items() if name in self.grown
        }
        if "energy" in self.grown:
            scope = self._sources["energy"].scope
            fields["energy"] = EnergyRecord(joules=self.grown["energy"], seconds=self.seconds, scope=scope)
        return fields

    def state_dict(self) -> dict[str, Any]:
        """Plain data for resuming."""
        return {"seconds": self.seconds, "grown": dict(self.grown)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes; a counter that can no longer be read is unknown for the whole run."""
        self.seconds = state["seconds"]
        self.grown = {name: value + self.grown[name] for name, value in state["grown"].items() if name in self.grown}
        self._sources = {name: source for name, source in self._sources.items() if name in self.grown}
