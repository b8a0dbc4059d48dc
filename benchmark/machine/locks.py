"""Who uses what: one run at a time per device, and one process at a time per folder of results (rule 13).

Locks are the operating system's (`flock`), so that those of a killed process are gone with it. Where the system has
none (Windows), nothing is held. No torch here.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.files import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

FOLDER_VARIABLE = "CNN_JEPA_BENCH_LOCKS"  # where the locks of devices lie, if not below /tmp
# Not below TMPDIR, which users and jobs of one machine may have apart.
_FOLDER = Path("/tmp/cnn-jepa-bench-locks")


class DeviceInUseError(UserError):
    """Another process has the device. It may be waited for."""


class DeviceLock:
    """Holds a device while runs are carried out on it, against all users of the machine (of the container, in one).

    Every process has a file of its own, locked as long as it lives, and nobody writes to another's. One that shares
    a device leaves a note that names whom it met; those find it when they ask.

    Args:
        device: a name that no other device of the machine has.
        share: use the device beside other processes; all runs of the time are marked.
    """

    def __init__(self, device: str, *, share: bool = False) -> None:
        self._folder = Path(os.environ.get(FOLDER_VARIABLE) or _FOLDER)
        self._device, self._share = device, share
        self._stem = re.sub(r"[^A-Za-z0-9-]", "-", device)
        self._descriptor: int | None = None
        self._since = time.time()

    def _path(self, process: int, kind: str) -> Path:
        return self._folder / f"{self._stem}.{process}.{kind}"

    def __enter__(self) -> Self:
        """Takes the device.

        Raises:
            UserError: another process uses it and `share` is not set, or the folder of the locks cannot be used.
        """
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
                self._descriptor = locked(self._path(os.getpid(), "lock"), os.O_RDWR | os.O_CREAT)
                if others:
                    self._path(os.getpid(), "met").write_text(" ".join(map(str, others)), encoding="ascii")
        except OSError as error:
            raise UserError(
                f"{self._folder}: locks cannot be kept there ({error.strerror or error}); "
                f"set {FOLDER_VARIABLE} to a folder that can be written"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the device back; the note of whom it met stays until they have ended."""
        with suppress(OSError), self._guard():
            if self._path(os.getpid(), "met").exists():
                self._path(os.getpid(), "met").touch()
            self._path(os.getpid(), "lock").unlink(missing_ok=True)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def was_shared(self) -> bool:
        """Whether another process used the device since this was last asked (or is using it)."""
        with suppress(OSError), self._guard():
            since, self._since = self._since, time.time()
            return bool(self._others()) or any(
                str(os.getpid()) in path.read_text(encoding="ascii").split()
                for path in self._folder.glob(f"{self._stem}.*.met")
                if path.stat().st_mtime >= since
            )
        return False

    def is_shared(self) -> bool:
        """Whether another process has the device now."""
        with suppress(OSError), self._guard():
            return bool(self._others())
        return False

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """One process at a time looks at the folder; a folder can be locked by whoever may read it."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
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
            descriptor = locked(self._path(process, "lock"), os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:  # held, or unreadable: better one refusal too many
            return True
        os.close(descriptor)
        return False

    def _clear(self) -> None:
        """Removes what dead processes left, as far as it is ours to remove."""
        held = {p for p in self._processes("lock") if self._is_held(p)}
        for process in set(self._processes("lock")) - held:
            with suppress(OSError):
                self._path(process, "lock").unlink()
        for process in set(self._processes("met")) - held:
            with suppress(OSError):
                path = self._path(process, "met")
                if held.isdisjoint(map(int, path.read_text(encoding="ascii").split())):
                    path.unlink()
