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

_SLACK = 64 * 2**20  # bytes; other threads may give something back meanwhile


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
        if not self._resettable:
            return
        before, _ = _resident()
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM, see proc(5)
        except OSError:
            self._resettable = False
            return
        # Were the write taken without effect, what is read later would be a peak of before. A peak that is lower than
        # it was, or near what is held now, is a new one.
        peak, held = _resident()
        self._resettable = peak < before or peak <= held + _SLACK

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
        return _resident()[0] or None


def _resident() -> tuple[int, int]:
    """The resident set's peak and its size now, in bytes, as proc(5) has them; 0 where it has not."""
    found = {"VmHWM": 0, "VmRSS": 0}
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in found:
            found[name] = int(value.split()[0]) * 1024
    return found["VmHWM"], found["VmRSS"]
