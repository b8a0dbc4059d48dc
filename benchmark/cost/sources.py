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
