"""Peak memory of a run's training, its probes left out."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_SLACK = 64 * 2**20  # between two readings other threads may have given something back


class PeakMemory:
    """Peak memory of what happens from its making on: the device's allocator, or the process's resident set.

    The resident set holds the dataset and whatever the libraries keep from earlier runs of the process; it says what
    a run needed to be there, not what the method alone takes.
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
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM, see proc(5)
        except OSError:
            self._resettable = False
            return
        # Some sandboxes take the write and do nothing: what is read later would be a peak of before.
        peak, now = _resident("VmHWM"), _resident("VmRSS")
        if peak is None or now is None or peak > now + _SLACK:
            self._resettable = False

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """What happens inside is no part of the peak: a probe may need more than the training that it looks at."""
        self._inside = max(self._inside, self._peak() or 0)
        self._reset()
        try:
            yield
        finally:
            self._outside = max(self._outside, self._peak() or 0)
            self._reset()

    def read(self) -> int | None:
        """Bytes; None where it cannot be told apart from what happened before."""
        now = self._peak()
        return None if now is None else max(now, self._inside)

    def largest(self) -> int | None:
        """Bytes, with what was left out: what the device has to have."""
        now = self.read()
        return None if now is None else max(now, self._outside)

    def _peak(self) -> int | None:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        if not self._resettable:
            return None
        return _resident("VmHWM")


def _resident(field: str) -> int | None:
    """A field of the process's status in bytes, see proc(5)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return None
