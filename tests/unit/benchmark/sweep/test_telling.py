"""What is said while runs go on."""

from __future__ import annotations

import pytest

from benchmark.sweep import telling
from benchmark.sweep.telling import Pace, Telling


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until it is set."""
    now = [1000.0]
    monkeypatch.setattr(telling.time, "monotonic", lambda: now[0])
    return now


def test_a_run_is_heard_of_now_and_then(clock: list[float]) -> None:
    said: list[str] = []
    tell = Telling(said.append)
    tell("one", {"kind": "started", "resumed_at": 0.25})
    tell("two", {"kind": "started", "resumed_at": None})
    for second in range(40):
        clock[0] = 1000.0 + second
        tell("one", {"kind": "advanced", "progress": second / 100, "remaining": 100.0 - second})
        tell("one", {"kind": "said", "text": "waiting"})
    assert said == ["one: going on from 25%", "one: 0%, 100 s left", "one: waiting", "one: 31%, 69 s left"]


def test_what_remains_is_guessed_from_what_was_done_since(clock: list[float]) -> None:
    pace = Pace(3)
    assert pace.text(3, 9) == "3 of 9 done"
    clock[0] += 120.0
    assert pace.text(5, 9) == "5 of 9 done, about 4.0 min left"
    assert pace.text(9, 9) == "9 of 9 done"
