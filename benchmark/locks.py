"""Who uses what: one run at a time per device, and one process at a time per run folder (rule 13).

Locks are the operating system's, so that those of a killed process are gone with it. No torch here.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

FOLDER_VARIABLE = "CNN_JEPA_BENCH_LOCKS"  # where the locks of devices lie, if not in the system's temporary folder


class DeviceLock:
    """Holds a device while runs are carried out on it.

    Args:
        device: a name that no other device of the machine has.
        share: use the device beside other processes; they are told, and all runs of the time are marked.
    """

    def __init__(self, device: str, *, share: bool = False) -> None:
        default = Path(tempfile.gettempdir()) / "cnn-jepa-bench-locks"
        self._folder = Path(os.environ.get(FOLDER_VARIABLE) or default)
        self._device, self._share = device, share
        self._stem = re.sub(r"[^A-Za-z0-9-]", "-", device)
        self._own = FileLock(self._path(os.getpid(), "lock"))

    def _path(self, process: int, kind: str) -> Path:
        return self._folder / f"{self._stem}.{process}.{kind}"

    def __enter__(self) -> Self:
        """Takes the device.

        Raises:
            UserError: another process uses it, and `share` is not set.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            self._folder.chmod(0o1777)  # several users of a machine share its devices
        with FileLock(self._folder / f"{self._stem}.guard", mode=0o666):
            others = self._others()
            if others and not self._share:
                raise UserError(
                    f"device {self._device} is in use by another bench (process {', '.join(map(str, others))}); wait "
                    "for it, or use --share to run beside it, which marks the times of both as unsafe"
                )
            self._own.acquire(timeout=0)
            for process in (*others, os.getpid()) if others else ():
                with suppress(OSError):
                    self._path(process, "shared").touch()
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the device back."""
        self._own.release()
        for kind in ("lock", "shared"):
            self._path(os.getpid(), kind).unlink(missing_ok=True)

    def was_shared(self) -> bool:
        """Whether another process used the device since this was last asked (or is using it)."""
        mark = self._path(os.getpid(), "shared")
        others = bool(self._others())
        shared = mark.exists() or others
        if not others:
            mark.unlink(missing_ok=True)
        return shared

    def _others(self) -> list[int]:
        """Other processes that hold the device; what dead ones left behind is removed."""
        alive = []
        for path in self._folder.glob(f"{self._stem}.*.lock"):
            process = int(path.name.split(".")[-2])
            if process == os.getpid():
                continue
            try:
                with FileLock(path, timeout=0):
                    pass
            except Timeout:
                alive.append(process)
            except OSError:  # another user's
                if psutil.pid_exists(process):
                    alive.append(process)
            else:
                for kind in ("lock", "shared"):
                    with suppress(OSError):
                        self._path(process, kind).unlink(missing_ok=True)
        return sorted(alive)


@contextmanager
def folder_lock(folder: Path, *, wait: float = 0.0) -> Iterator[bool]:
    """Holds a folder of results against other processes, by a hidden file in it.

    Args:
        folder: made if it does not exist.
        wait: seconds to wait for another process.

    Yields:
        Whether it could be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", mode=0o666)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
