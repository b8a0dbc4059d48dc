"""What a meter reads: energy counters, clocks, and the load of other processes.

A counter only grows; a gauge goes up and down. What cannot be read here is left out, never estimated (rules 10 and 13).
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

_POWERCAP = Path("/sys/class/powercap")


class Source(Protocol):
    """Something to sample: a counter, which only grows, or a gauge."""

    name: str
    grows: bool
    scope: str  # what an energy counter covers

    def read(self) -> float:
        """The present value; OSError if it can no longer be read."""


class OtherLoad:
    """Core-seconds that other processes than the run's `own` used of the cores this one may run on."""

    name, grows, scope = "others", True, ""

    def __init__(self, own: Sequence[int] = ()) -> None:
        self._own = [psutil.Process(number) for number in own] or [psutil.Process()]
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def read(self) -> float:
        """Busy time of the cores, without that of our own processes and their children."""
        cores = psutil.cpu_times(percpu=True)
        chosen = [cores[i] for i in self._cores if i < len(cores)] or cores
        # User time already includes guests; a hypervisor's steal is somebody else's work.
        idle = ("idle", "iowait", "guest", "guest_nice")
        busy = sum(sum(times) - sum(getattr(times, name, 0.0) for name in idle) for times in chosen)
        try:
            own = [process.cpu_times() for process in self._own]
        except psutil.Error as error:
            raise OSError(str(error)) from error
        return float(busy - sum(t.user + t.system + t.children_user + t.children_system for t in own))


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

    name, grows, scope = "clock", False, ""

    def read(self) -> float:
        """MHz now."""
        frequency = psutil.cpu_freq()
        if frequency is None or not frequency.current:
            raise OSError("no clock to read")
        return float(frequency.current)


def _throttled(nvml: Any, gpu: Any) -> bool:
    # A GPU's own power limit is its normal state.
    reasons = (
        nvml.nvmlClocksThrottleReasonHwSlowdown
        | nvml.nvmlClocksThrottleReasonSwThermalSlowdown
        | nvml.nvmlClocksThrottleReasonHwThermalSlowdown
        | nvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    )
    return bool(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu) & reasons)


class Nvml:
    """A value that the driver reports for one GPU.

    `energy`: joules since the driver was loaded, by the driver's own integration. `clock`: of its multiprocessors, in
    MHz. `throttled`: 1 while heat or the power supply lower its clock, else 0.
    """

    scope = "GPU board (NVML)"
    questions: ClassVar[dict[str, Callable[[Any, Any], float]]] = {
        "energy": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
        "clock": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
        "throttled": _throttled,
    }

    def __init__(self, name: str, device: torch.device) -> None:
        import pynvml
        import torch

        self.name, self.grows = name, name == "energy"
        try:
            pynvml.nvmlInit()
            uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
            self._gpu = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    def read(self) -> float:
        """The present value."""
        import pynvml

        try:
            return float(self.questions[self.name](pynvml, self._gpu))
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error


def sources(device: torch.device, own: Sequence[int] = ()) -> list[Source]:
    """The sources that can be read here, for the run's `own` processes on this machine; by default this one alone.

    Energy and clocks of several devices are left out: no counter covers them.
    """
    kinds: list[Callable[[], Source]] = [partial(OtherLoad, own)]
    if len(own) <= 1 and device.type == "cuda":
        kinds += [partial(Nvml, name, device) for name in Nvml.questions]
    elif len(own) <= 1:
        kinds += [Rapl, CpuClock]
    readable: list[Source] = []
    for kind in kinds:
        with contextlib.suppress(OSError, ValueError, ImportError):
            source = kind()
            source.read()
            readable.append(source)
    return readable
