"""What a meter reads: energy counters, clocks, and the load of other processes.

A counter only grows; a gauge goes up and down. What cannot be read here is left out, never estimated (rules 10 and 13).
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

_POWERCAP = Path("/sys/class/powercap")


class Source(Protocol):
    """Something to sample: a counter, which only grows, or a gauge."""

    name: str
    grows: bool

    def read(self) -> float:
        """The present value; OSError if it can no longer be read."""


class OtherLoad:
    """Core-seconds that other processes used of the cores this one may run on.

    Args:
        own: the run's own processes; this one alone by default.
    """

    name, grows = "others", True

    def __init__(self, own: Sequence[int] = ()) -> None:
        self._own = [psutil.Process(number) for number in own] or [psutil.Process()]
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def read(self) -> float:
        """Busy time of the cores, without that of our own processes and their children."""
        cores = psutil.cpu_times(percpu=True)
        chosen = [cores[i] for i in self._cores if i < len(cores)] or cores
        # User time already includes guests; a hypervisor's steal is somebody else's work.
        busy = sum(sum(times) - times.idle - _idle_extras(times) for times in chosen)
        try:
            own = [process.cpu_times() for process in self._own]
        except psutil.Error as error:
            raise OSError(str(error)) from error
        return float(
            busy - sum(times.user + times.system + times.children_user + times.children_system for times in own)
        )


def _idle_extras(times: Any) -> float:
    return float(sum(getattr(times, name, 0.0) for name in ("iowait", "guest", "guest_nice")))


class Rapl:
    """Energy of the CPU packages in joules, by Intel's and AMD's running average power limit (RAPL)."""

    name, grows = "energy", True
    scope = "CPU packages (RAPL), whole machine"

    def __init__(self, root: Path = _POWERCAP) -> None:
        # Packages alone: cores and memory have zones below them, and some machines one above (psys), which would be
        # counted twice.
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
        """Joules since the counter was made, corrected for overflow of the registers."""
        for i, zone in enumerate(self._zones):
            now = self._energy(zone)
            self._total += now - self._last[i] if now >= self._last[i] else now + self._wraps[i] - self._last[i]
            self._last[i] = now
        return self._total / 1e6


class CpuClock:
    """Mean clock of the cores in MHz, as the system reports it; often constant in a virtual machine."""

    name, grows = "clock", False

    def read(self) -> float:
        """MHz now."""
        frequency = psutil.cpu_freq()
        if frequency is None or not frequency.current:
            raise OSError("no clock to read")
        return float(frequency.current)


class _Nvml(ABC):
    """A value that the driver reports for one GPU."""

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
        """The present value."""
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
    """1 while heat or the power supply lower one GPU's clock, else 0. Its own power limit is its normal state."""

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
    """The sources that can be read here, for the run's `own` processes on this machine; by default this one alone.

    Energy and clocks of several devices are left out: no counter covers them.
    """
    kinds: list[Callable[[], Source]] = [partial(OtherLoad, own)]
    if len(own) <= 1 and device.type == "cuda":
        kinds += [partial(kind, device) for kind in (NvmlEnergy, NvmlClock, NvmlThrottled)]
    elif len(own) <= 1:
        kinds += [Rapl, CpuClock]
    readable: list[Source] = []
    for kind in kinds:
        with contextlib.suppress(OSError, ValueError, ImportError):
            source = kind()
            source.read()
            readable.append(source)
    return readable
