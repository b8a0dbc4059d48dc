"""What is said while the runs of a sweep go on: now and then, where each stands, and what remains of them all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from benchmark.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable

_SPEAK = 30.0  # seconds between two lines about one run


class Telling:
    """Says what runs say, but not the same thing all the time.

    Args:
        say: a line for the user.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._spoken: dict[str, float] = {}

    def __call__(self, label: str, message: dict[str, Any]) -> None:
        """A message of a run's process (`benchmark.sweep.job`), which is known to the user by its label."""
        kind = message["kind"]
        if kind == "said":
            self._sometimes(f"{label}: {message['text']}", 1e9)
        elif kind == "advanced":
            self._sometimes(label, _SPEAK, f": {message['progress']:.0%}, {duration(message['remaining'])} left")
        elif kind == "started" and message["resumed_at"] is not None:
            self._say(f"{label}: going on from {message['resumed_at']:.0%}")

    def _sometimes(self, text: str, every: float, more: str = "") -> None:
        now = time.monotonic()
        if now - self._spoken.get(text, -1e12) > every:
            self._spoken[text] = now
            self._say(text + more)


class Pace:
    """How long what remains will take, at the pace since it was begun, whoever did the work.

    Args:
        done: how many there were at the beginning.
    """

    def __init__(self, done: int) -> None:
        self._before = done
        self._start = time.monotonic()

    def text(self, done: int, total: int) -> str:
        """Such as `7 of 18 done, about 40.2 min left`; without a guess where nothing has been done to guess from."""
        since = done - self._before
        left = (time.monotonic() - self._start) / since * (total - done) if since > 0 else 0.0
        return f"{done} of {total} done" + (f", about {duration(left)} left" if left else "")
