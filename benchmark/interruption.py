"""Ctrl-C and SIGTERM as a wish that is granted between two steps."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Interruption:
    """While entered, the first signal sets `requested`; the second ends the program at once.

    Args:
        announce: told about the first signal.
        parent: a process whose end is the same wish, so that nothing goes on for a caller that was killed.
    """

    def __init__(self, announce: Callable[[str], None], *, parent: int | None = None) -> None:
        self._wanted = False
        self._parent = parent
        self._announce = announce
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether to stop at the next opportunity."""
        return self._wanted or (self._parent is not None and os.getppid() != self._parent)

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if self._wanted:
            raise KeyboardInterrupt
        self._wanted = True
        self._announce("interrupting: the state is saved after this step; once more ends at once")
