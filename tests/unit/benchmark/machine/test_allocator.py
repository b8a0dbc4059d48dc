"""Memory that was freed stays in the process; each side in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FAULTS = """
import ctypes, resource, sys
from benchmark.machine.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def step():
    taken = [libc.malloc(ctypes.c_size_t(8 * 2**20)) for _ in range(4)]
    for place in taken:
        ctypes.memset(place, 1, 8 * 2**20)
    for place in taken:
        libc.free(ctypes.c_void_p(place))
step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_a_step_finds_the_pages_of_the_step_before() -> None:
    faults = {
        how: int(
            subprocess.run([sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True).stdout
        )
        for how in ("keep", "default")
    }
    assert faults["keep"] < 100 < faults["default"]
