"""Ctrl-C and SIGTERM as a wish that is granted between two steps."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType


class StopSignal:
    """While entered, the first signal sets `requested`; the second ends the program at once.

    Args:
        announce: told about the first signal.
        patience: seconds after the first signal in which another one is taken for the same wish: the Ctrl-C of a
            terminal reaches every process, and who has started them passes it on.
        first: what happens before the end, in words.
        parent: a process whose end is the same wish, so that nothing goes on for a caller that was killed.
    """

    def __init__(
        self,
        announce: Callable[[str], None],
        patience: float = 0.0,
        *,
        parent: int | None = None,
        first: str = "the state is saved after this step",
    ) -> None:
        self._first = first
        self._wanted = False
        self._parent = parent
        self._announce = announce
        self._patience = patience
        self._since = 0.0
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether to stop at the next opportunity."""
        return self._wanted or (self._parent is not None and os.getppid() != self._parent)

    @contextmanager
    def first(self, what: str) -> Iterator[None]:
        """While other work goes on: what happens first then, in words."""
        before, self._first = self._first, what
        try:
            yield
        finally:
            self._first = before

    def __enter__(self) -> StopSignal:
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
            if time.monotonic() - self._since >= self._patience:
                raise KeyboardInterrupt
            return
        self._wanted, self._since = True, time.monotonic()
        self._announce(f"interrupting: {self._first}; once more ends at once")
