"""Writing and reading files; the messages where that fails."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import platform
import shutil
import stat
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.files.parse import MOST_JSON_BYTES, MOST_YAML_BYTES, ParseError, load_json, load_yaml
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_STALE = 24 * 3600.0  # seconds after which a half-written file of another machine's process is a leftover

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
"""What `flock` answers on disks without file locks, such as some network disks."""


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


def check_writable(folder: Path, hint: str = "") -> None:
    """Raises a `UserError` where a folder could not be written, as far as this can be told without writing."""
    with writing(folder, hint):
        nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "")


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """While reading from `path`: an `OSError` becomes a `UserError` with path and reason."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({_reason(error)})") from None


def read_bytes(path: Path) -> bytes:
    """The file's bytes; a `UserError` names a file that cannot be read."""
    with reading(path):
        return path.read_bytes()


def _reason(error: OSError) -> str:
    # Not `strerror`, which some libraries fill with several lines of their own.
    return os.strerror(error.errno) if error.errno else first_line(error)


def clear_leftovers(path: Path) -> None:
    """Removes the half-written files and folders that killed processes left in place of `path`.

    One of a process of this machine goes as soon as the process is gone; one of another machine, which writes to the
    same disk, or of an earlier version after a day.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        try:
            mark, _, number = left.name.split(".")[-2].rpartition("-")
            ours = mark == _machine() and number.isdecimal()
            stale = not is_writing(int(number), left) if ours else time.time() - left.stat().st_mtime > _STALE
            if stale and left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            elif stale:
                left.unlink()
        except OSError:  # another process was faster, or it may not be removed
            continue


def is_writing(process_id: int, temporary: Path) -> bool:
    """Whether the process of this machine that made a temporary file is running; its id may be a newer process's."""
    import psutil  # 30 ms, which `bench --help` does not need

    try:
        process = psutil.Process(process_id)
        started_before = process.create_time() <= temporary.stat().st_mtime + 1.0
        return started_before and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def temporary_path(path: Path) -> Path:
    """The hidden path beside `path` where this process writes what becomes it; leftovers of others there are cleared.

    Its name holds the process, and a mark of the machine without its name.
    """
    clear_leftovers(path)
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.tmp")


@cache
def _machine() -> str:
    """A mark of this machine, or of the container, in which process numbers are unique."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return hashlib.blake2b(f"{platform.node()} {space}".encode(), digest_size=4).hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that either the old or the new content is there, never a part.

    What a link leads to is written, and the link stays; a device or a pipe is written to as it is.
    """
    content = content.encode() if isinstance(content, str) else content
    path = path.resolve() if path.is_symlink() else path
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb", buffering=0) as device:
            device.write(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_text(path: Path, most: int, errors: str = "strict") -> str:
    """The text of a file of at most so many bytes; a `UserError` where there is none, or it cannot be read.

    `errors` is what becomes of bytes that are no UTF-8, as `bytes.decode` has it.
    """
    with reading(path):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EISDIR, "")
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, without end
            raise OSError("it is no regular file")
        size = status.st_size
        if size > most:
            raise UserError(f"{path}: is {size:,} bytes long; expected at most {most:,}")
        content = path.read_bytes()
    try:
        return content.decode(errors=errors)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def read_yaml(path: Path) -> Any:
    """The value in a YAML file; raises a `UserError` with path and line where it cannot be read."""
    try:
        return load_yaml(read_text(path, MOST_YAML_BYTES))
    except ParseError as error:
        where = f", line {error.line}" if error.line else ""
        raise UserError(f"{path}{where}: {error}") from None


def read_json(path: Path) -> Any:
    """The value in a JSON file; raises a `UserError` with path and reason where it cannot be read."""
    try:
        return load_json(read_text(path, MOST_JSON_BYTES))
    except ParseError as error:
        raise UserError(f"{path}: not a JSON file ({error})") from None
