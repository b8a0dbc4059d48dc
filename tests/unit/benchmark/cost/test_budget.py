"""Budgets: what is understood, and that progress is what RULES 5 says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.cost.budget import KINDS, Budget, BudgetSpec, parse_budget, parse_duration
from benchmark.records.budgets import budget_text


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h30m", 9000), ("90s", 90), ("1.5h", 5400), ("3600", 3600), ("1d2m", 86520), ("0.5", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2x", "2h30", "-5s", "1 hour"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_command_line_budgets() -> None:
    assert parse_budget("epochs=2,5,10") == {"epochs": [2.0, 5.0, 10.0]}
    assert parse_budget("wall_clock=2h30m") == {"wall_clock": [9000.0]}
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        parse_budget("epoch=3")
    with pytest.raises(ValueError, match="'ten' is not a number"):
        parse_budget("epochs=ten")
    with pytest.raises(ValueError, match="KIND=LIMIT"):
        parse_budget("10")


def test_exactly_one_kind_limits() -> None:
    with pytest.raises(ValidationError, match="none is given"):
        BudgetSpec()
    with pytest.raises(ValidationError, match="epochs, steps are given"):
        BudgetSpec(epochs=3, steps=4)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="above 0"):
        BudgetSpec(epochs=(0,))
    with pytest.raises(ValidationError, match="each may appear once"):
        BudgetSpec(epochs=(2, 2))


def test_a_ladder_is_several_budgets_smallest_first() -> None:
    assert BudgetSpec(epochs=(10, 2)).rungs() == (Budget("epochs", 2), Budget("epochs", 10))
    assert BudgetSpec.model_validate({"wall_clock": "30m"}).rungs() == (Budget("wall_clock", 1800.0),)


def test_steps_of_each_kind() -> None:
    assert Budget("epochs", 2.5).total_steps(40, 128, None) == 100
    assert Budget("samples", 1000).total_steps(40, 128, None) == 8
    assert Budget("steps", 7).total_steps(40, 128, None) == 7
    assert Budget("wall_clock", 60).total_steps(40, 128, None) is None


def test_a_budget_of_flops_is_a_number_of_steps_once_a_step_is_counted() -> None:
    budget = Budget("flops", 1e9)
    assert budget.total_steps(40, 128, 3e8) == 4
    assert budget.total_steps(40, 128, 2e9) == 1
    with pytest.raises(ValueError, match="needs the FLOPs of a step"):
        budget.total_steps(40, 128, None)
    assert BudgetSpec.model_validate(parse_budget("flops=1e15")).rungs() == (Budget("flops", 1e15),)


def test_time_budgets_charge_training_time_over_all_devices() -> None:
    assert Budget("wall_clock", 60).progress(None, training_time=15) == 0.25
    assert Budget("device_hours", 1).progress(None, training_time=900, devices=2) == 0.5
    assert Budget("wall_clock", 60).training_time(2) == 60
    assert Budget("device_hours", 1).training_time(2) == 1800
    assert Budget("epochs", 1).training_time(2) is None


def test_every_kind_can_be_asked_for_and_is_described_in_reports(make_record: Any) -> None:
    assert tuple(BudgetSpec.model_fields) == KINDS
    for kind in KINDS:
        text = budget_text(make_record(budget={kind: 3}))
        assert text.startswith("3 ") and "=" not in text  # `kind=3` is the text of an unknown kind


@given(st.integers(1, 500), st.lists(st.integers(0, 600), min_size=2, max_size=20))
def test_progress_never_decreases_and_ends_at_one(total: int, steps: list[int]) -> None:
    budget = Budget("steps", total)
    seen = [budget.progress(total, steps=step) for step in sorted(steps)]
    assert seen == sorted(seen)
    assert all(0 <= value <= 1 for value in seen)
    assert budget.progress(total, steps=total) == 1.0
    assert budget.progress(total, steps=total - 1) < 1.0
