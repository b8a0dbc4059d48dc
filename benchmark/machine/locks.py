"""Locks on devices: one run at a time per device, unless both sides agree to share it (rule 13).

Locks are the operating system's, so that those of a killed process are gone with it. No torch here.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, lock_descriptor

from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

FOLDER_VARIABLE = "CNN_JEPA_BENCH_LOCKS"  # the folder of the locks, if not below /tmp
# Not below TMPDIR, which may differ between users and jobs of one machine.
_FOLDER = Path("/tmp/cnn-jepa-bench-locks")
_READABLE = 0o644  # whatever the umask: other users ask whether a file is locked


class DeviceInUseError(UserError):
    """Another process is using the device; the caller may wait for it."""


class DeviceLock:
    """Holds a device for one process, against all users of the machine (in a container: of the container).

    Every process locks a file of its own, because users may not write to each other's files. A process that shares a
    device writes a note with the processes that it met there, where those can read it.

    Args:
        device: a name that no other device of the machine has.
        share: use the device beside other processes; without it, entering raises `DeviceInUseError` beside them.
    """

    def __init__(self, device: str, *, share: bool = False) -> None:
        self._folder = Path(os.environ.get(FOLDER_VARIABLE) or _FOLDER)
        self._device, self._share = device, share
        self._stem = re.sub(r"[^A-Za-z0-9-]", "-", device)
        self._lock: FileLock | None = None
        self._since = time.time()

    def _path(self, process: int, kind: str) -> Path:
        return self._folder / f"{self._stem}.{process}.{kind}"

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                self._folder.chmod(0o1777)  # several users of a machine share its devices
            with self._guard():
                self._clear()
                others = self._others()
                if others and not self._share:
                    raise DeviceInUseError(
                        f"device {self._device} is in use by another bench (process {', '.join(map(str, others))}); "
                        "wait for it, or use --share to run beside it, which marks the times of both as unsafe"
                    )
                own = self._path(os.getpid(), "lock")
                self._lock = FileLock(own, blocking=False, mode=_READABLE, thread_local=False, preserve_lock_file=True)
                self._lock.acquire()
                if others:
                    note = self._path(os.getpid(), "met")
                    note.write_text(" ".join(map(str, others)), encoding="ascii")
                    note.chmod(_READABLE)
        except OSError as error:
            raise UserError(
                f"{self._folder}: locks cannot be kept there ({error.strerror or error}); "
                f"set {FOLDER_VARIABLE} to a folder that can be written"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError), self._guard():
            note = self._path(os.getpid(), "met")
            if note.exists():  # it stays until the processes named there have ended
                note.touch()
            self._path(os.getpid(), "lock").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def was_shared(self) -> bool:
        """Whether another process has used the device since the last call, or is using it now."""
        with suppress(OSError), self._guard():
            since, self._since = self._since, time.time()
            return bool(self._others()) or any(
                str(os.getpid()) in path.read_text(encoding="ascii").split()
                for path in self._folder.glob(f"{self._stem}.*.met")
                if path.stat().st_mtime >= since
            )
        return False

    def is_shared(self) -> bool:
        """Whether another process is using the device now."""
        with suppress(OSError), self._guard():
            return bool(self._others())
        return False

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Lets one process at a time look at the folder. It locks the folder itself, which every user may open."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            lock_descriptor(descriptor, poll_interval=0.01)
            yield
        finally:
            os.close(descriptor)

    def _others(self) -> list[int]:
        """Other processes that hold the device."""
        return sorted(p for p in self._processes("lock") if p != os.getpid() and self._is_held(p))

    def _processes(self, kind: str) -> list[int]:
        return [int(path.name.split(".")[-2]) for path in self._folder.glob(f"{self._stem}.*.{kind}")]

    def _is_held(self, process: int) -> bool:
        try:
            descriptor = os.open(self._path(process, "lock"), os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:  # unreadable: better one refusal too many
            return True
        try:
            return not lock_descriptor(descriptor, blocking=False)
        finally:
            os.close(descriptor)

    def _clear(self) -> None:
        """Removes the files of dead processes, as far as this user may."""
        held = {p for p in self._processes("lock") if self._is_held(p)}
        for process in set(self._processes("lock")) - held:
            with suppress(OSError):
                self._path(process, "lock").unlink()
        for process in set(self._processes("met")) - held:
            with suppress(OSError):
                path = self._path(process, "met")
                if held.isdisjoint(map(int, path.read_text(encoding="ascii").split())):
                    path.unlink()
