"""The peak of a run's training, its probes left out."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmark.cost.memory import PeakMemory

MEBIBYTE = 2**20


def _take(mebibytes: int) -> None:
    """Takes memory, touches it, and gives it back."""
    torch.ones(mebibytes * MEBIBYTE // 4)


@pytest.mark.skipif(sys.platform != "linux", reason="the resident set's peak is read from /proc")
def test_what_is_left_out_is_no_part_of_the_peak() -> None:
    memory = PeakMemory(torch.device("cpu"))
    start = memory.read()
    _take(300)
    taken = PeakMemory(torch.device("cpu")).read()
    if start is None or taken is None or taken > start + 150 * MEBIBYTE:
        pytest.skip("the peak cannot be reset here")
    memory = PeakMemory(torch.device("cpu"))
    _take(200)
    with memory.left_out():
        _take(800)
    _take(100)
    inside, everything = memory.read(), memory.largest()
    assert inside is not None and everything is not None
    assert 150 * MEBIBYTE < inside - start < 400 * MEBIBYTE
    assert 700 * MEBIBYTE < everything - start < 1000 * MEBIBYTE
