"""Budgets: what is understood, and that progress is what RULES 5 says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_costs import GPU_A, make_cost, make_priced
from pydantic import ValidationError

from benchmark.cost.budget import DURATIONS, KINDS, MOST, Budget, BudgetKind, BudgetSpec, parse_budget, parse_duration
from benchmark.records.budgets import budget_text
from benchmark.records.keys import step_key_of


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
    assert parse_budget("calibrated_time=10m,1h") == {"calibrated_time": [600.0, 3600.0]}
    assert parse_budget("calibrated_device_hours=2") == {"calibrated_device_hours": [2.0]}
    with pytest.raises(ValueError, match="did you mean 'calibrated_time'"):
        parse_budget("calibrated_tme=10m")
    with pytest.raises(ValueError, match="'10x' is not a duration"):
        parse_budget("calibrated_time=10x")
    with pytest.raises(
        ValueError, match=r"'10m' is not a number; hours .* durations such as 30m are for calibrated_time"
    ):
        parse_budget("calibrated_device_hours=10m")
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
    with pytest.raises(ValidationError, match="at least 1e-06"):
        BudgetSpec(epochs=(0,))
    with pytest.raises(ValidationError, match="each may appear once"):
        BudgetSpec(epochs=(2, 2))


def test_a_ladder_is_several_budgets_smallest_first() -> None:
    assert BudgetSpec(epochs=(10, 2)).rungs() == (Budget("epochs", 2), Budget("epochs", 10))
    for kind in DURATIONS:
        assert BudgetSpec.model_validate({kind: "30m"}).rungs() == (Budget(kind, 1800.0),)


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


@pytest.mark.parametrize(
    ("budget", "devices", "steps"),
    [
        (Budget("calibrated_time", 10), 1, 100),
        (Budget("calibrated_time", 10), 2, 100),
        (Budget("calibrated_device_hours", 10 / 3600), 2, 50),  # seconds of a step are those of both devices together
        (Budget("calibrated_time", 0.29), 1, 2),  # as many as fit
        (Budget("calibrated_time", 0.3), 1, 3),
        (Budget("calibrated_time", 0.01), 1, 1),
    ],
)
def test_a_calibrated_budget_becomes_a_number_of_steps(budget: Budget, devices: int, steps: int) -> None:
    record = make_priced("byol")
    cost = make_cost([record], {"byol": 0.1}, {**GPU_A, "devices": devices})
    priced = budget.calibrated(cost, step_key_of(record))
    assert (priced.steps, priced.step_cost) == (steps, cost.key)
    assert priced.total_steps(40, 128, None) == steps
    assert priced.progress(steps, steps=1) == 1 / steps
    assert priced.data() == {budget.kind: budget.limit, "steps": steps, "step_cost": cost.key}
    assert str(priced) == f"{budget} ({steps} steps)"
    untrained = budget.calibrated(cost, None)
    assert (untrained.steps, untrained.step_cost) == (0, cost.key)


def test_a_calibrated_budget_has_no_steps_without_a_record() -> None:
    budget = Budget("calibrated_time", 600)
    assert (str(budget), budget.data()) == ("calibrated_time=600s", {"calibrated_time": 600})
    with pytest.raises(ValueError, match="needs a step cost"):
        budget.total_steps(40, 128, None)
    assert BudgetSpec(calibrated_time=(600.0,)).is_calibrated
    assert not BudgetSpec(wall_clock=(600.0,)).is_calibrated


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


@given(st.sampled_from(KINDS), st.floats(1.001, 1e300))
def test_no_budget_is_beyond_its_limit(kind: BudgetKind, factor: float) -> None:
    assert BudgetSpec(**{kind: MOST[kind]}).rungs()[0].limit == MOST[kind]
    with pytest.raises(ValueError, match=rf"{kind} is .*; (expected at most|every limit)"):
        BudgetSpec(**{kind: float(int(factor * MOST[kind])) if factor < 1e270 else 1e300})
    with pytest.raises(ValueError, match=r"expected at most 3.1536e\+08 s \(ten years\)"):
        BudgetSpec(wall_clock="1" + "0" * 20 + "d")


@given(st.text(st.characters(categories=["Nd"]), min_size=1, max_size=4) | st.sampled_from(["1_0", " ", "", "1e999"]))
def test_only_plain_digits_are_a_limit(text: str) -> None:
    if not (text.isascii() and text.isdecimal()):
        for budget in (f"steps={text}", f"epochs=1,{text}", f"wall_clock={text}m", f"wall_clock={text}"):
            with pytest.raises(ValueError, match=r"is not a|out of range"):
                parse_budget(budget)
