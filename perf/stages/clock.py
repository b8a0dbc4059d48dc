"""Times of something that is repeated on a device."""

from __future__ import annotations

import gc
import statistics
import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


def synchronize(device: str) -> None:
    """Waits until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def median_seconds(work: Callable[[], object], device: str, *, rounds: int, seconds: float) -> float:
    """The median over rounds of the seconds of a call, after two untimed ones.

    Args:
        rounds: each has as many calls as fit into its share of the time, one at least.
        seconds: of all rounds together, about.
    """
    for _ in range(2):
        work()
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    once = max(time.perf_counter() - start, 1e-6)
    calls = max(1, min(1000, round(seconds / rounds / once)))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        synchronize(device)
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def peak_bytes(device: str) -> int | None:
    """The most memory that torch's allocator has held since `reset_peak`; None on a CPU."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else None


def reset_peak(device: str) -> None:
    """Forgets the peak so far, and lets go of what is no longer used."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
