from __future__ import annotations

from typing import Any

import pytest

from benchmark.records.budgets import (
    budget_kind,
    budget_of,
    budget_size,
    budget_text,
    fixed_cost,
    has_time_budget,
    is_cost_budget,
    limit_text,
    unit_text,
)


@pytest.mark.parametrize(
    ("budget", "text", "timed"),
    [
        ({"epochs": 10.0}, "10 epochs", False),
        ({"epochs": 1}, "1 epoch", False),
        ({"epochs": 0.5}, "0.5 epochs", False),
        ({"steps": 1}, "1 steps", False),
        ({"samples": 5000}, "5000 samples", False),
        ({"wall_clock": 60.0}, "60 s of training", True),
        ({"device_hours": 2}, "2 device-hours", True),
        ({"calibrated_time": 600.0}, "600 s of calibrated time", False),
        ({"calibrated_device_hours": 2.5}, "2.5 calibrated device-hours", False),
        ({"flops": 1e15}, "1000000000000000 FLOPs", True),
        ({"parsecs": 3}, "parsecs=3", False),
    ],
)
def test_a_budget_in_words_and_whether_it_depends_on_the_hardware(
    make_record: Any, budget: dict[str, Any], text: str, timed: bool
) -> None:
    record = make_record(budget=budget)
    assert (budget_text(record), has_time_budget(record)) == (text, timed)
    assert (budget_kind(record), budget_size(record)) == next(iter(budget.items()))


def test_limits_that_are_not_set_are_left_out(make_record: Any) -> None:
    record = make_record(budget={"epochs": None, "steps": 40.0})
    assert budget_of(record) == {"steps": 40} and isinstance(budget_of(record)["steps"], int)
    without = make_record(config={"budget": "plenty"})
    assert (budget_of(without), budget_text(without), budget_kind(without), budget_size(without)) == ({}, "", "", 0.0)


def test_the_steps_of_a_calibrated_budget_are_not_part_of_it(make_record: Any) -> None:
    record = make_record(budget={"calibrated_time": 600.0, "steps": 1234, "step_cost": "ab" * 16})
    assert budget_of(record) == {"calibrated_time": 600, "step_cost": "ab" * 16}
    assert (budget_text(record), budget_kind(record), budget_size(record)) == (
        "600 s of calibrated time by step cost abababab", "calibrated_time", 600.0,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["wall_clock", "device_hours", "flops", "calibrated_time", "calibrated_device_hours"])
def test_budgets_of_cost_are_told_from_budgets_of_data(make_record: Any, kind: str) -> None:
    assert is_cost_budget(make_record(budget={kind: 3}))
    assert not is_cost_budget(make_record(budget={"steps": 3}))


def test_a_time_budget_sets_the_cost_of_all_devices_together(make_record: Any) -> None:
    four = {"devices": 4}
    assert fixed_cost(make_record(budget={"wall_clock": 60}, environment=four)) == 240.0
    assert fixed_cost(make_record(budget={"device_hours": 0.5}, environment=four)) == 1800.0
    steps = {"steps": 7, "step_cost": "ab" * 16}
    assert fixed_cost(make_record(budget={"calibrated_time": 60, **steps}, environment=four)) == 60.0
    assert fixed_cost(make_record(budget={"calibrated_device_hours": 0.5, **steps}, environment=four)) == 1800.0
    assert fixed_cost(make_record(budget={"flops": 1e9})) is None
    assert fixed_cost(make_record(budget={"epochs": 10})) is None


def test_a_limit_is_in_words_without_a_record() -> None:
    assert [limit_text("epochs", limit) for limit in (1.0, 64.0, 2.5)] == ["1 epoch", "64 epochs", "2.5 epochs"]
    assert limit_text("wall_clock", 600.0) == "600 s of training" and limit_text("naps", 3) == "naps=3"
    assert unit_text("wall_clock") == "s of training" and unit_text("naps") == "naps"
