"""Peak memory of a run's training, without its evaluations."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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
        gc.collect()
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
        peak, held = _resident()
        self._resettable = peak < before or peak <= held + _SLACK

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


def _resident() -> tuple[int, int]:
    """The resident set's peak and present size in bytes, as in proc(5); 0 if they are not there."""
    values = {"VmHWM": 0, "VmRSS": 0}
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in values:
            values[name] = int(value.split()[0]) * 1024
    return values["VmHWM"], values["VmRSS"]
