"""The peak of a run's training, its probes left out."""

from __future__ import annotations

import gc
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.cost.memory import PeakMemory, free, held

MEBIBYTE = 2**20


def _take(mebibytes: int) -> None:
    """Takes memory, touches it, and gives it back.

    From the system itself: an allocator may have as much to spare from what ran before, so that nothing grows.
    """
    with mmap.mmap(-1, mebibytes * MEBIBYTE) as taken:
        np.frombuffer(taken, np.uint8)[:: mmap.PAGESIZE] = 1


def _status(monkeypatch: pytest.MonkeyPatch, *peaks: int, now: int) -> None:
    """A process whose status has these peaks, one reading after the other, whatever is written to reset them."""
    texts = [f"VmPeak:\t9 kB\nVmHWM:\t{peak} kB\nVmRSS:\t{now} kB\n" for peak in peaks]
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: 1)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: texts.pop(0) if len(texts) > 1 else texts[0])


@pytest.mark.skipif(sys.platform != "linux", reason="the resident set's peak is read from /proc")
def test_a_reset_without_effect_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: 0)
    _status(monkeypatch, 900_000, now=900_000)
    memory = PeakMemory(torch.device("cpu"))
    assert memory.read() == 900_000 * 1024
    _status(monkeypatch, 900_000, now=400_000)  # the peak of before stayed, though much was given back
    with memory.left_out():
        pass
    assert memory.read() is None and memory.largest() is None
    assert PeakMemory(torch.device("cpu")).read() is None
    # A lower peak than before is a new one, though a thread has given much back since.
    _status(monkeypatch, 900_000, 900_000, 700_000, now=400_000)
    assert PeakMemory(torch.device("cpu")).read() == 700_000 * 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the resident set's peak is read from /proc")
def test_what_is_left_out_is_no_part_of_the_peak() -> None:
    memory = PeakMemory(torch.device("cpu"))
    start = memory.read()
    _take(200)
    taken = PeakMemory(torch.device("cpu")).read()
    if start is None or taken is None or taken > start + 100 * MEBIBYTE:
        pytest.skip("the peak cannot be reset here")
    memory = PeakMemory(torch.device("cpu"))
    start = memory.read()
    _take(100)
    with memory.left_out():
        _take(400)
    _take(50)
    inside, everything = memory.read(), memory.largest()
    assert start is not None and inside is not None and everything is not None
    assert 75 * MEBIBYTE < inside - start < 200 * MEBIBYTE
    assert 350 * MEBIBYTE < everything - start < 500 * MEBIBYTE


def test_the_growth_is_what_was_taken_since(monkeypatch: pytest.MonkeyPatch) -> None:
    _status(monkeypatch, 900_000, now=900_000)
    memory = PeakMemory(torch.device("cpu"))
    _status(monkeypatch, 950_000, now=920_000)
    assert memory.growth() == 50_000 * 1024
    assert held(torch.device("cpu")) == 920_000 * 1024 and free(torch.device("cpu")) > 0
