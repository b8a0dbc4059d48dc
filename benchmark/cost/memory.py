"""Peak memory of a run's training, without its evaluations."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_SLACK = 64 * 2**20  # bytes; other threads may give something back meanwhile


class PeakMemory:
    """Peak memory since it was made: of the device's allocator, or on a CPU of the process's resident set.

    The resident set includes the dataset and whatever libraries keep from earlier runs of the process. It is the memory
    that a run needed, not what the method alone takes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._resettable = device.type == "cuda" or sys.platform == "linux"
        self._inside = self._outside = 0
        release(device)
        self._before = held(device)
        self._reset()

    def _reset(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return
        if not self._resettable:
            return
        before, _ = _resident()
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM, see proc(5)
        except OSError:
            self._resettable = False
            return
        # The write may succeed without effect, and the peak then be an earlier one. A peak that is lower than before,
        # or near the present size, is a new one.
        peak, now = _resident()
        self._resettable = peak < before or peak <= now + _SLACK

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Leaves what happens inside out of the peak: an evaluation may need more memory than the training."""
        self._inside = max(self._inside, self._peak() or 0)
        self._reset()
        try:
            yield
        finally:
            self._outside = max(self._outside, self._peak() or 0)
            self._reset()

    def read(self) -> int | None:
        """Bytes; None if it cannot be separated from earlier peaks."""
        now = self._peak()
        return None if now is None else max(now, self._inside)

    def growth(self) -> int | None:
        """Bytes of the peak above what was held when this was made: the need of what was built since."""
        now = self.read()
        return None if now is None else max(0, now - self._before)

    def largest(self) -> int | None:
        """Bytes, including what was left out: the memory that the device has to have."""
        now = self.read()
        return None if now is None else max(now, self._outside)

    def _peak(self) -> int | None:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        if not self._resettable:
            return None
        return _resident()[0] or None


def held(device: torch.device) -> int:
    """Bytes that the device's allocator holds for tensors, or on a CPU the process's resident set; 0 if unknown."""
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else _resident()[1]


def free(device: torch.device) -> int:
    """Bytes that could still be taken."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return int(psutil.virtual_memory().available)


def release(device: torch.device) -> None:
    """Gives memory that nothing uses back to the system, so that whoever comes next does not find it ready."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        with suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)


def _resident() -> tuple[int, int]:
    """The resident set's peak and present size in bytes, as in proc(5); 0 if they are not there."""
    values = {"VmHWM": 0, "VmRSS": 0}
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="utf-8").splitlines() if status.is_file() else ():
        name, _, value = line.partition(":")
        if name in values:
            values[name] = int(value.split()[0]) * 1024
    return values["VmHWM"], values["VmRSS"]
