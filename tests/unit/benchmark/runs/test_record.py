from __future__ import annotations

from typing import Any

import pytest

from benchmark.machine.environment import visible_cores
from benchmark.records.schema import LedgerRecord, PhaseSeconds, Throughput
from benchmark.runs.record import time_flags


def ledger(**changes: Any) -> LedgerRecord:
    return LedgerRecord(
        **{
            "phases": PhaseSeconds(training=10.0),
            "data_wait": 0.0,
            "training_time": 10.0,
            "total_time": 10.0,
            "device_hours": 10 / 3600,
            "devices": 1,
            "steps": 10,
            "samples": 1000,
            "views": 2000,
            "samples_per_second": Throughput(median=100.0, p10=90.0, p90=110.0),
            "peak_memory_bytes": None,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, []),
        ({"ready_made_per_second": 105.0}, []),
        ({"ready_made_per_second": 120.0}, ["input-bound"]),
        ({"ready_made_per_second": 120.0, "samples_per_second": None}, []),
        ({"resumed": 1}, ["resumed"]),
        ({"throttled": 0.04}, []),
        ({"throttled": 0.5}, ["throttled"]),
        ({"other_cores": 0.04 * visible_cores()}, []),
        ({"other_cores": 0.06 * visible_cores()}, ["busy machine"]),
    ],
)
def test_what_speaks_against_a_runs_times_is_flagged(changes: dict[str, Any], flags: list[str]) -> None:
    assert time_flags(ledger(**changes), shared=False) == flags
    assert time_flags(None, shared=True) == []
    assert "shared device" in time_flags(ledger(**changes), shared=True)
