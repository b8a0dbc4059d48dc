"""What is sampled once a second while a run trains: energy, what other processes took of the machine, clocks.

Counters grow, and their growth is added up over the intervals that lie inside training; gauges go up and down, and are
averaged over them. So evaluation and set-up are not in it. What cannot be read is None, never estimated (rules 10 and
13).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from benchmark.records.schema import EnergyRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

INTERVAL = 1.0  # seconds
MOSTLY = 0.9  # share of an interval that has to be training
BUSY_SHARE = 0.05  # of the visible cores, taken by others: from here on a run's times are marked
_POWERCAP = Path("/sys/class/powercap")


class Source(Protocol):
    """Something that can be read: a counter, which only grows, or a gauge."""

    name: str
    grows: bool

    def read(self) -> float:
        """What it stands at; OSError where it cannot be read any more."""


class OtherLoad:
    """Core-seconds that other processes used of the cores this one may run on.

    Args:
        own: processes that are not others; this one alone by default.
    """

    name, grows = "others", True

    def __init__(self, own: Sequence[int] = ()) -> None:
        self._own = [psutil.Process(number) for number in own] or [psutil.Process()]
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def read(self) -> float:
        """Busy time of the cores, less our own processes' and their children's."""
        cores = psutil.cpu_times(percpu=True)
        chosen = [cores[i] for i in self._cores if i < len(cores)] or cores
        # Time given to guests is in user time already; a hypervisor's steal is work of somebody else's.
        busy = sum(sum(times) - times.idle - _idle_extras(times) for times in chosen)
        try:
            own = [process.cpu_times() for process in self._own]
        except psutil.Error as error:
            raise OSError(str(error)) from error
        return float(busy - sum(one.user + one.system + one.children_user + one.children_system for one in own))


def _idle_extras(times: Any) -> float:
    return float(sum(getattr(times, name, 0.0) for name in ("iowait", "guest", "guest_nice")))


class Rapl:
    """Energy of the CPU packages in joules, by Intel's and AMD's running average power limit, where it is readable."""

    name, grows = "energy", True
    scope = "CPU packages (RAPL), whole machine"

    def __init__(self, root: Path = _POWERCAP) -> None:
        # Packages alone: cores and memory have zones below them, and some machines one above (psys); those would
        # count twice.
        self._zones = sorted(
            zone for zone in root.glob("intel-rapl:*") if (zone / "name").read_text().startswith("package")
        )
        if not self._zones:
            raise OSError("no RAPL zone")
        self._last = [self._energy(zone) for zone in self._zones]
        self._wraps = [int((zone / "max_energy_range_uj").read_text()) for zone in self._zones]
        self._total = 0

    def _energy(self, zone: Path) -> int:
        return int((zone / "energy_uj").read_text())

    def read(self) -> float:
        """Joules since the counter was made; the registers' wrapping round is taken out."""
        for i, zone in enumerate(self._zones):
            now = self._energy(zone)
            self._total += now - self._last[i] if now >= self._last[i] else now + self._wraps[i] - self._last[i]
            self._last[i] = now
        return self._total / 1e6


class CpuClock:
    """Mean clock of the cores in MHz, as the system tells it; inside a virtual machine often a constant."""

    name, grows = "clock", False

    def read(self) -> float:
        """MHz now."""
        frequency = psutil.cpu_freq()
        if frequency is None or not frequency.current:
            raise OSError("no clock to read")
        return float(frequency.current)


class _Nvml(ABC):
    """Something that the driver tells of one GPU."""

    def __init__(self, device: torch.device) -> None:
        import pynvml
        import torch

        try:
            pynvml.nvmlInit()
            uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error
        self.read()

    def read(self) -> float:
        """What it stands at."""
        import pynvml

        try:
            return self._ask(pynvml)
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    @abstractmethod
    def _ask(self, nvml: Any) -> float:
        """The driver's answer."""


class NvmlEnergy(_Nvml):
    """Energy of one GPU in joules since the driver was loaded, by the driver's own integration."""

    name, grows = "energy", True
    scope = "GPU board (NVML)"

    def _ask(self, nvml: Any) -> float:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000


class NvmlClock(_Nvml):
    """Clock of one GPU's multiprocessors in MHz."""

    name, grows = "clock", False

    def _ask(self, nvml: Any) -> float:
        return float(nvml.nvmlDeviceGetClockInfo(self._handle, nvml.NVML_CLOCK_SM))


class NvmlThrottled(_Nvml):
    """1 while heat or the power supply hold one GPU's clock down, else 0; its own power limit is its normal state."""

    name, grows = "throttled", False

    def _ask(self, nvml: Any) -> float:
        reasons = (
            nvml.nvmlClocksThrottleReasonHwSlowdown
            | nvml.nvmlClocksThrottleReasonSwThermalSlowdown
            | nvml.nvmlClocksThrottleReasonHwThermalSlowdown
            | nvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
        )
        return float(bool(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle) & reasons))


def sources(device: torch.device, own: Sequence[int] = ()) -> list[Source]:
    """What can be read here; `own` are the processes of the run on this machine, this one alone by default.

    Energy and clocks of several devices are not put together: there is no counter of them.
    """
    kinds: list[Callable[[], Source]] = [partial(OtherLoad, own)]
    if len(own) <= 1 and device.type == "cuda":
        kinds += [partial(kind, device) for kind in (NvmlEnergy, NvmlClock, NvmlThrottled)]
    elif len(own) <= 1:
        kinds += [Rapl, CpuClock]
    found: list[Source] = []
    for kind in kinds:
        with contextlib.suppress(OSError, ValueError, ImportError):
            source = kind()
            source.read()
            found.append(source)
    return found


class Meter:
    """Adds up, in a thread of its own, what counters grow by while a run trains, and what gauges show.

    Args:
        sources: read together, about once a second.
        training_time: seconds of training so far; an interval counts where nearly all of it was training.
        interval: seconds between readings.
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
        """Begins to read."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends."""
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
                # What is lost in the middle of a run is not known for the run.
                del self._sources[name], self.grown[name]
        trained = self._training_time()
        whole, training = now - self._since[0], trained - self._since[1]
        # Logging lasts moments; an interval with an evaluation or a save in it is left out.
        if self._last is not None and training >= MOSTLY * whole:
            self.seconds += whole
            for name, value in values.items():
                if not self._sources[name].grows:
                    self.grown[name] += value * whole
                elif name in self._last:
                    self.grown[name] += value - self._last[name]
        self._last, self._since = values, (now, trained)

    @property
    def other_cores(self) -> float | None:
        """How many cores other processes kept busy, on average; None before a whole interval of training.

        The system counts in hundredths of a second: a few thousandths of a core are noise.
        """
        return max(0.0, self.grown["others"] / self.seconds) if self.seconds and "others" in self.grown else None

    @property
    def clock_mhz(self) -> float | None:
        """Mean clock; None where it cannot be read."""
        return self._mean("clock")

    @property
    def throttled(self) -> float | None:
        """Share of the training in which the device's clock was held down; None where it cannot be read."""
        return self._mean("throttled")

    def _mean(self, gauge: str) -> float | None:
        return self.grown[gauge] / self.seconds if self.seconds and gauge in self.grown else None

    @property
    def energy(self) -> EnergyRecord | None:
        """Energy of the training that was sampled; None where there is no counter."""
        if "energy" not in self.grown or not self.seconds:
            return None
        scope: str = self._sources["energy"].scope  # type: ignore[attr-defined]
        return EnergyRecord(joules=self.grown["energy"], seconds=self.seconds, scope=scope)

    def state_dict(self) -> dict[str, Any]:
        """Plain data from which a resumed run goes on."""
        return {"seconds": self.seconds, "grown": dict(self.grown)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on; a counter that is not there any more is not known for the run."""
        self.seconds = state["seconds"]
        self.grown = {name: value + self.grown[name] for name, value in state["grown"].items() if name in self.grown}
        self._sources = {name: source for name, source in self._sources.items() if name in self.grown}
