"""Records as a run would leave them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import made_records
import pytest

MORNING = datetime.fromisoformat("2026-01-05T08:00:00+00:00")


@pytest.fixture(scope="session")
def make_record() -> Any:
    """The function `made_records.make_record`."""
    return made_records.make_record


@pytest.fixture(scope="session")
def make_history() -> Any:
    """The function `made_records.make_history`."""
    return made_records.make_history


@pytest.fixture(scope="session")
def store() -> Any:
    """The function `made_records.store`."""
    return made_records.store


@pytest.fixture
def ran(make_record: Any) -> Any:
    """Makes a record of a run that started some minutes after eight and took some minutes."""

    def make(entry: str, seed: int, start: float, minutes: float = 10.0, **options: Any) -> Any:
        begun = MORNING + timedelta(minutes=start)
        times = {"started": begun.isoformat(), "ended": (begun + timedelta(minutes=minutes)).isoformat()}
        return make_record(entry, seed, **times, **options)

    return make
