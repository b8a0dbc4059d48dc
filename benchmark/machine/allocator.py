"""How a process keeps memory that was freed, between the steps of a training on a CPU."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import lru_cache

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_MOST = 2**31 - 1  # bytes; the parameters are ints
_PAD = 64 * 2**20


@lru_cache
def keep_freed_memory() -> bool:
    """Makes the process keep freed memory for its next allocation; whether it could (glibc alone knows how).

    A step frees all that its forward pass took. By default the C library gives the larger part back to the system, and
    the next step pays for new pages: a tenth of its time, more or less of it depending on what else the process holds.
    So equal steps would cost differently in a run and beside other entries. `perf/allocator.py` measures it.
    """
    if sys.platform != "linux":
        return False
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        settings = ((_TRIM_THRESHOLD, _MOST), (_TOP_PAD, _PAD), (_MMAP_MAX, 0))
        return all([mallopt(name, value) == 1 for name, value in settings])  # a list, so that each is set
    return False
