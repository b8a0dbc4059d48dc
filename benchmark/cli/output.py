"""What commands print: on a full disk or into a closed pipe, and of characters that the terminal does not have."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOSED = 128 + 13  # what a shell reports of a program that SIGPIPE ended


class _Errors:
    """Standard error. What cannot be written there is lost: the exit code still says how the command ended."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if not self._lost:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._end(error)
        return len(text)

    def flush(self) -> None:
        if not self._lost:
            try:
                self._stream.flush()
            except OSError as error:
                self._end(error)

    def _end(self, error: OSError) -> None:
        del error
        self._lost = True
        with contextlib.suppress(OSError, ValueError):  # at its end Python would try again to print what is left
            empty = os.open(os.devnull, os.O_WRONLY)
            os.dup2(empty, self._stream.fileno())
            os.close(empty)


class _Output(_Errors):
    """Standard output. What cannot be written there ends the command, and not with an error of what it was doing."""

    def _end(self, error: OSError) -> NoReturn:
        super()._end(error)
        if error.errno == errno.EPIPE:  # `bench list methods | head`: nobody wants the rest
            sys.exit(CLOSED)
        sys.stderr.write(f"error: the output cannot be written ({os.strerror(error.errno or 0)})\n")
        sys.exit(2)


@contextlib.contextmanager
def safe_output() -> Iterator[None]:
    """While it is open, what cannot be printed ends the command: 141 for a closed pipe, a message and 2 otherwise.

    Of standard error it is only lost. Characters that the terminal does not have are escaped; names of files may hold
    such.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by `>&-`: nobody wants to read it
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = output, errors = _Output(before[0]), _Errors(before[1])
    try:
        yield
    finally:
        try:
            output.flush()
            errors.flush()
        finally:
            sys.stdout, sys.stderr = before
