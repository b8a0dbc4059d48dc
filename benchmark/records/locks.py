"""Locks on folders of results, which hold between processes, and between machines."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from benchmark.files.disk import NO_LOCKS
from benchmark.records.heartbeat import Claim, claim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PAUSE = 0.2  # seconds between two looks at a claim of another machine


@contextmanager
def folder_lock(folder: Path, *, wait: float = 0.0) -> Iterator[Claim | None]:
    """Locks a folder, which is made if need be, against other processes, by hidden files; yields None if it could not.

    The lock is the operating system's, so that on this machine it ends with its process, even a killed one, and a claim
    with a heartbeat, which holds against other machines, and on disks without file locks. The lock's file stays; only
    who holds the lock may remove it. A process that waits (`wait` seconds) for a removed file then takes a new one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + wait
    # `preserve_lock_file` also rules out a mere marker file, which would outlive a killed process.
    lock = FileLock(folder / ".lock", timeout=wait, preserve_lock_file=True)
    try:
        lock.acquire()
    except Timeout:
        yield None
        return
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        locked = lock.is_locked
        while (mine := claim(folder, locked=locked)) is None and time.monotonic() < end:
            time.sleep(_PAUSE)
        try:
            yield mine
        finally:
            if mine is not None:
                mine.release()
    finally:
        lock.release()
