"""A sweep from its file to its last run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = {"low": 0.0001, "high": 0.01, "log": True}


def _states(sweep: Any) -> list[str]:
    return [trial.state.name for one in sweep.studies for trial in one.outcomes()]


def test_entries_take_turns_and_have_as_many_trials(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(
        entries=["cnn_jepa", "byol"], parameters={"*.optimizer.lr": RATE}, sampler="random", trials=3, seeds=[0]
    )
    sweep.work()
    methods = [spec.entry.method for spec in sweep.runs.executed]
    assert methods == ["cnn_jepa", "byol"] * 3


def test_what_a_run_says_the_user_can_mend_ends_the_sweep_and_loses_nothing(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.runs.outcomes = {(f"cnn_jepa.predictor_depth-{d}", 0): UserError("disk full") for d in (1, 2, 3)}
    with pytest.raises(UserError, match="disk full"):
        sweep.work()
    assert set(_states(sweep)) == {"WAITING"}


@pytest.mark.parametrize("sampler", ["grid", "nsga2"])
def test_where_no_trial_is_complete_that_is_said_once(open_sweep: Callable[..., Any], sampler: str) -> None:
    sweep = open_sweep(sampler=sampler, trials=2, confirm_seeds=[7, 8])
    sweep.runs.outcomes = MagicMock(pop=lambda *_: "diverged")
    assert sweep.work() == 0 and sweep.confirm() == 0
    assert _states(sweep) == ["PRUNED"] * 2
    assert sum("no trial is complete, so that there is nothing to confirm" in line for line in sweep.said) == 1
