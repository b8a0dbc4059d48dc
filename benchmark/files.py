"""Writing files and locking folders; the messages where that fails."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

from benchmark.errors import UserError
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def locked(path: Path, flags: int) -> int:
    """An open file that is locked for this process; OSError where another one has it."""
    descriptor = os.open(path, flags, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


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
    descriptor, end = None, time.monotonic() + wait
    while descriptor is None:
        try:
            descriptor = locked(folder / ".lock", os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            if time.monotonic() >= end:
                yield False
                return
            time.sleep(0.05)
    try:
        yield True
    finally:
        os.close(descriptor)


def cannot_be_written(path: Path | str, error: OSError, hint: str = "") -> UserError:
    """The error for a file or folder that cannot be written: path, reason and what to do about it."""
    return UserError(f"{path}: cannot be written ({_reason(error)})" + (f"; {hint}" if hint else ""))


@contextmanager
def writing(path: Path | str, hint: str = "") -> Iterator[None]:
    """While writing to `path`: an `OSError` becomes a `UserError` with path, reason and hint."""
    try:
        yield
    except OSError as error:
        raise cannot_be_written(path, error, hint) from None


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """While reading from `path`: an `OSError` becomes a `UserError` with path and reason."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({_reason(error)})") from None


def _reason(error: OSError) -> str:
    # Not `strerror`, which some libraries fill with several lines of their own.
    return os.strerror(error.errno) if error.errno else first_line(error)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that either the old or the new content is there, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
