from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.comparison import rows_of
from benchmark.analysis.values import (
    commit_text,
    data_wait_share,
    flops_per_image,
    joined,
    linear_validation_top1,
    other_encoder,
    other_linear_top1,
    peak_memory_mib,
    row_flags,
    watts,
)
from benchmark.records.schema import EnergyRecord


def test_values_of_a_run(make_record: Any) -> None:
    record = make_record("byol", ema_top1=47.0, seconds=100.0)
    assert linear_validation_top1(record) == 45.5
    assert (other_encoder(record.metrics), other_linear_top1(record)) == ("ema", 47.0)
    assert (peak_memory_mib(record), data_wait_share(record)) == (900.0, pytest.approx(0.02))
    energy = EnergyRecord(joules=5000.0, seconds=50.0, scope="board")
    ledger = record.ledger.model_copy(update={"energy": energy, "flops": 360000.0})
    measured = record.model_copy(update={"ledger": ledger})
    assert (watts(measured), flops_per_image(measured)) == (100.0, 2.0)


def test_values_that_were_not_measured_are_unknown(make_record: Any) -> None:
    failed = make_record("byol", status="failed", measured=False)
    readers = (linear_validation_top1, other_linear_top1, peak_memory_mib, data_wait_share, watts, flops_per_image)
    assert [read(failed) for read in readers] == [None] * len(readers)
    free = make_record("random_init")
    assert (data_wait_share(free), flops_per_image(free)) == (None, None)
    assert other_encoder(make_record("byol").metrics) is None


def test_a_commit_is_short_and_marked_if_files_had_been_changed(make_record: Any) -> None:
    texts = [
        commit_text(make_record(environment=changes))
        for changes in ({}, {"dirty": True}, {"commit": None, "dirty": True})
    ]
    assert texts == ["3d5bcc200000", "3d5bcc200000+dirty", ""]


def test_flags_of_a_row_appear_once(make_record: Any) -> None:
    runs = [make_record("byol", seed, flags=["resumed", "busy machine"][seed:]) for seed in (0, 1)]
    (row,) = rows_of(runs)
    assert row_flags(row) == ["resumed", "busy machine"]
    (row,) = rows_of([make_record("byol", key="a" * 16), make_record("byol", key="b" * 16)])
    assert row_flags(row) == ["repeated seed"]
    assert joined(["b", "", "a", "b"]) == "b; a"
