"""Claims on folders by small files with a heartbeat, which hold between machines, whatever their file locks do.

`flock` may fail on network disks, and on some it holds on one machine only. A claim is a file that is created
atomically and touched regularly. One that was not touched for `GRACE` seconds belongs to a dead process, and may be
replaced: claims are numbered, and only one process can create the next number. Ages are taken by the clock of the
disk, because those of machines differ.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmark.errors import UserError
from benchmark.files.parse import load_json

if TYPE_CHECKING:
    from collections.abc import Iterator

BEAT = 10.0
"""Seconds between two signs of life."""
GRACE = 60.0
"""Seconds of silence after which a holder counts as dead."""
_PREFIX = ".claim-"


@lru_cache
def this_machine() -> str:
    """A name for what shares process ids: the machine since it was started; of a container, the container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8])
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


class Claim:
    """A folder's claim by this process.

    Attributes:
        path: the claim's file.
    """

    def __init__(self, path: Path, token: str) -> None:
        self.path, self._token = path, token
        self._released = threading.Event()
        self._beat = threading.Thread(target=self._keep, name="heartbeat", daemon=True)
        self._beat.start()

    def is_held(self) -> bool:
        """Whether no other process has taken the folder over, since this one seemed dead."""
        return _content(self.path).get("token") == self._token

    def check(self) -> None:
        """Raises a `UserError` where another process has taken the folder over, or somebody has removed it."""
        if not self.is_held():
            folder = self.path.parent
            why = f"was taken over by another process, because this one gave no sign of life for {GRACE:.0f} s"
            if not any(_claims(folder)):
                why = "was removed or emptied while this process was at work there"
            raise UserError(f"{folder}: {why}; it writes nothing more there")

    def release(self) -> None:
        """Gives the folder free."""
        self._released.set()
        if self.is_held():
            self.path.unlink(missing_ok=True)

    def _keep(self) -> None:
        while not self._released.wait(BEAT):
            with suppress(OSError):  # the disk may be away for a while
                if not self.is_held():
                    return
                os.utime(self.path)


def claim(folder: Path, *, locked: bool) -> Claim | None:
    """Claims a folder; None while another process has it.

    Args:
        locked: this process holds the folder's `flock`, so that no other one of this machine can be alive with a claim.
    """
    holders = list(_claims(folder))
    if any(_is_alive(path, locked=locked) for _, path in holders):
        return None
    seen = {path: _content(path).get("token") for _, path in holders}
    token = uuid.uuid4().hex
    path = folder / f"{_PREFIX}{max((number for number, _ in holders), default=0) + 1}"
    content = {"token": token, "machine": this_machine(), "process": os.getpid()}
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(content))
        file.flush()
        os.fsync(file.fileno())
    # Between the look and the claim a holder may have come back to life, ended, and made room for others.
    now = {other: _content(other).get("token") for _, other in _claims(folder) if other != path}
    if any(seen.get(other) != found for other, found in now.items()):
        path.unlink(missing_ok=True)
        return None
    for other in now:
        other.unlink(missing_ok=True)
    return Claim(path, token)


def holder(folder: Path) -> str | None:
    """The machine whose process has claimed a folder and gives signs of life, if any. Writes nothing."""
    for _, path in _claims(folder):
        content = _content(path)
        if content.get("machine") == this_machine() and not psutil.pid_exists(int(content.get("process", -1))):
            continue
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < 2 * GRACE:  # by this machine's clock: for readers alone
                return str(content.get("machine", "")).partition(" ")[0]
    return None


def _claims(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in folder.glob(f"{_PREFIX}*"):
        number = path.name.removeprefix(_PREFIX)
        if number.isdecimal():
            yield int(number), path


def _content(path: Path) -> dict[str, Any]:
    """What a claim says; empty where it is gone or is just being written."""
    try:
        data = load_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _is_alive(path: Path, *, locked: bool) -> bool:
    content = _content(path)
    if content.get("machine") == this_machine():
        return not locked and psutil.pid_exists(int(content.get("process", -1)))
    try:
        return _clock(path.parent) - path.stat().st_mtime < GRACE
    except FileNotFoundError:
        return False


def _clock(folder: Path) -> float:
    """The time by the disk's clock."""
    probe = folder / f".clock-{uuid.uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)
