"""Ctrl-C, SIGTERM and what schedulers send, checked between training steps."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What asks a program to save and to end: a user, a closed terminal, a scheduler before a time limit."""


class StopSignal:
    """Catches `SIGNALS` while entered: the first sets `requested`, a second SIGINT or SIGTERM ends the program at once.

    SIGHUP stays ignored where it was, as under `nohup`.

    Args:
        patience: seconds after the first signal in which another one counts as the same. A terminal sends Ctrl-C to
            every process, and a launcher passes it on as well.
        parent: the process that this one works for. When it has ended, this one is to stop too.
        first: what the program does before it ends, in words.
        insist: whether a second signal ends the program at once; a scheduler may send several.
    """

    def __init__(
        self,
        announce: Callable[[str], None],
        patience: float = 0.0,
        *,
        parent: int | None = None,
        first: str = "the state is saved after this step",
        insist: bool = True,
    ) -> None:
        self._announce, self._patience, self._parent, self._first = announce, patience, parent, first
        self._insist = insist
        self._received = False
        self._since = 0.0
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether to stop at the next opportunity."""
        return self._received or (self._parent is not None and os.getppid() != self._parent)

    @contextmanager
    def first(self, what: str) -> Iterator[None]:
        """Changes what the program does before it ends, in words, for a while."""
        before, self._first = self._first, what
        try:
            yield
        finally:
            self._first = before

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._handle)
        return self

    def renew(self) -> None:
        """Catches them again, after a library has put a handler of its own below Python's, as Ray does for SIGTERM."""
        for number in self._before:
            signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if self._received:
            ends = self._insist and number in (signal.SIGINT, signal.SIGTERM)
            if ends and time.monotonic() - self._since >= self._patience:
                raise KeyboardInterrupt
            return
        self._received, self._since = True, time.monotonic()
        again = "; once more ends at once" if self._insist else ""
        self._announce(f"interrupting: {self._first}{again}")
