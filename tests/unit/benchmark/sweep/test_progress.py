"""What the user reads while runs go on."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from benchmark.sweep import progress
from benchmark.sweep.progress import Pace, TrialReporter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which changes only when it is set."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_run_is_reported_now_and_then(clock: list[float]) -> None:
    said: list[str] = []
    first, second = TrialReporter("first", said.append), TrialReporter("second", said.append)
    spec: Any = MagicMock()
    first.run_started(spec, 1, 1, 0.25)
    second.run_started(spec, 1, 1, None)
    for seconds in range(40):
        clock[0] = 1000.0 + seconds
        first.run_advanced(seconds / 100, 0.5, 10.0, 100.0 - seconds, 8.0 if seconds > 20 else None)
        first.say("waiting")
    after = "first: 30%, 78 s left"  # with its probes, once there was one
    assert said == ["first: resuming from 25%", "first: 0%, 100 s of training left", "first: waiting", after]


def test_what_remains_is_estimated_from_what_was_done_since(clock: list[float]) -> None:
    pace = Pace(3)
    assert pace.text(3, 9) == "3 of 9 done"
    clock[0] += 120.0
    assert pace.text(5, 9) == "5 of 9 done, about 4.0 min left"
    assert pace.text(9, 9) == "9 of 9 done"
