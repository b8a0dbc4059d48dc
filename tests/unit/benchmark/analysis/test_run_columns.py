from __future__ import annotations

from typing import Any

from benchmark.analysis.columns import names, row_values
from benchmark.analysis.run_columns import RUNS, RunRow


def test_no_column_appears_twice() -> None:
    assert len(set(names(RUNS))) == len(RUNS)


def test_the_phases_of_a_run_sum_to_its_total_time(make_record: Any) -> None:
    row = row_values(RUNS, RunRow(make_record("byol", 3, seconds=100.0, flags=["resumed"]), "a/record.json"))
    phases = ("training_time", "setup_time", "warmup_time", "evaluation_time", "checkpointing_time", "logging_time")
    assert sum(row[name] for name in phases) == row["total_time"] == 115.7
    assert (row["seed"], row["record"], row["flags"], row["torch"]) == (3, "a/record.json", "resumed", "2.14.1+cpu")
    assert (row["linear_top1"], row["encoder"], row["other_encoder"]) == (45.0, "online", "")


def test_a_failed_run_has_a_cause_and_no_numbers(make_record: Any) -> None:
    failed = make_record("byol", status="failed", cause="time_out", message="too slow", measured=False)
    row = row_values(RUNS, RunRow(failed, ""))
    assert (row["status"], row["cause"], row["message"]) == ("failed", "time_out", "too slow")
    assert {row[name] for name in ("linear_top1", "training_time", "steps", "setup_time", "energy_joules")} == {None}
