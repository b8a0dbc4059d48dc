"""A sweep from its file to its last run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
from rich.console import Console

from benchmark.analysis.fronts import front_trials
from benchmark.cli.console import ConsoleReporter
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH = "cnn_jepa.predictor_depth"
RATE = {"low": 0.0001, "high": 0.01, "log": True}


def _states(sweep: Any) -> list[str]:
    return [trial.state.name for queue in sweep.studies for trial in queue.outcomes()]


@pytest.mark.slow
def test_entries_take_turns_and_have_as_many_trials(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(
        entries=["cnn_jepa", "byol"], parameters={"*.optimizer.lr": RATE}, sampler="random", trials=3, seeds=[0]
    )
    sweep.work()
    methods = [spec.entry.method for spec in sweep.runs.executed]
    assert methods == ["cnn_jepa", "byol"] * 3


@pytest.mark.slow
def test_what_a_run_says_the_user_can_mend_ends_the_sweep_and_loses_nothing(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.runs.outcomes = {(f"cnn_jepa.predictor_depth-{d}", 0): UserError("disk full") for d in (1, 2, 3)}
    with pytest.raises(UserError, match="disk full"):
        sweep.work()
    assert set(_states(sweep)) == {"WAITING"}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["grid", "nsga2"])
def test_where_no_trial_is_complete_that_is_said_once(open_sweep: Callable[..., Any], sampler: str) -> None:
    sweep = open_sweep(sampler=sampler, trials=2, confirm_seeds=[7, 8])
    sweep.runs.outcomes = MagicMock(pop=lambda *_: "diverged")
    assert sweep.work() == 0 and sweep.confirm() == 0
    assert _states(sweep) == ["PRUNED"] * 2
    assert sum("no trial is complete, so that there is nothing to confirm" in line for line in sweep.said) == 1


@pytest.mark.slow
def test_the_best_point_is_trained_on_fresh_seeds_and_tagged(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(confirm_seeds=[7, 8])
    sweep.work()
    assert sweep.confirm() == 0
    confirmed = [spec for spec in sweep.runs.executed if spec.purpose == "result"]
    assert [spec.seed for spec in confirmed] == [7, 8]
    assert {spec.entry.name for spec in confirmed} == {"cnn_jepa.predictor_depth-3"}
    assert all(spec.tags == ("tuned", "best of 3 trials") for spec in confirmed)
    assert sweep.said[-1] == "on fresh seeds: 2 of 2 done"
    assert any(re.fullmatch("trials: 1 of 3 done, about .* left", line) for line in sweep.said)


@pytest.mark.slow
def test_fresh_seeds_that_another_process_has_come_last(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(confirm_seeds=[7, 8, 9])
    sweep.work()
    sweep.runs.elsewhere = {("cnn_jepa.predictor_depth-3", 7), ("cnn_jepa.predictor_depth-3", 9)}
    sweep.runs.outcomes = {("cnn_jepa.predictor_depth-3", 8): "failed"}
    assert sweep.confirm(wait=False) == 1
    assert [spec.seed for spec in sweep.runs.executed if spec.purpose == "result"] == [8]
    assert sweep.confirm(wait=False, again=False) == 0  # what failed is left alone
    assert [spec.seed for spec in sweep.runs.executed if spec.purpose == "result"] == [8]
    assert sweep.confirm() == 0
    assert [spec.seed for spec in sweep.runs.executed if spec.purpose == "result"] == [8, 8, 7, 9]
    assert sweep.said[-1] == "on fresh seeds: 3 of 3 done"


@pytest.mark.slow
def test_the_entry_itself_is_trained_on_the_fresh_seeds_too(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(confirm_seeds=[7, 8], confirm_recipe=True, parameters={DEPTH: {"values": [1, 4]}})
    sweep.work()
    assert sweep.confirm() == 0
    confirmed = [spec for spec in sweep.runs.executed if spec.purpose == "result"]
    assert [(spec.entry.name, spec.seed, spec.tags) for spec in confirmed] == [
        (name, seed, tags)
        for seed in (7, 8)
        for name, tags in (("cnn_jepa.predictor_depth-4", ("tuned", "best of 2 trials")), ("cnn_jepa", ("untuned",)))
    ]
    assert [spec.entry.overrides for spec in confirmed if "tuned" not in spec.tags] == [{}, {}]


@pytest.mark.slow
def test_a_recipe_that_is_its_own_best_point_is_trained_once(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(confirm_seeds=[7], confirm_recipe=True)  # three layers are both the best and the default
    sweep.work()
    assert sweep.confirm() == 0
    (confirmed,) = [spec for spec in sweep.runs.executed if spec.purpose == "result"]
    assert confirmed.tags == ("tuned", "best of 3 trials", "as the recipe has it")


@pytest.mark.slow
def test_of_a_front_the_most_accurate_point_is_confirmed(open_sweep: Callable[..., Any]) -> None:
    widths = {"backbone.width": {"values": [8, 16, 24, 32]}}
    sweep = open_sweep(parameters=widths, sampler="nsga2", trials=10, seeds=[0], confirm_seeds=[7])
    # 24 is as accurate as 16 for more, and 32 less accurate for even more: neither is on the front.
    scores = {8: 40.0, 16: 50.0, 24: 50.0, 32: 45.0}
    sweep.runs.score = lambda data, seed: scores[data["backbone"]["width"]]
    sweep.runs.cost = lambda data: 3.6 * data["backbone"]["width"]
    sweep.work()
    record = sweep.write()
    tried = [trial.parameters["backbone.width"] for trial in record.studies[0].trials]
    assert set(tried) == {8, 16, 24, 32}
    assert [trial.parameters["backbone.width"] for trial in front_trials(record.studies[0])] == [8, 16]
    assert sweep.confirm() == 0
    (confirmed,) = [spec for spec in sweep.runs.executed if spec.purpose == "result"]
    assert confirmed.backbone.width == 16
    assert any(line.endswith("fresh seed 7: the front's most accurate point, with its test") for line in sweep.said)
    with (console := Console(width=200)).capture() as shown:
        ConsoleReporter(False, console).study(record)
    marked = [line for line in shown.get().splitlines() if "*" in line]
    assert [re.findall(r"backbone.width=(\d+)", line) for line in marked] == [["16"], ["8"]]
