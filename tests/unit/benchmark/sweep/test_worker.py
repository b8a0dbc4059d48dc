"""Workers, with runs that are made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from optuna.trial import TrialState
from rich.console import Console

from benchmark.cli.console import ConsoleReporter
from benchmark.errors import Interrupted
from benchmark.runs.run import never_prune

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH, LR = "cnn_jepa.predictor_depth", "cnn_jepa.optimizer.lr"
RATE = {"low": 0.0001, "high": 0.01, "log": True}


def _states(sweep: Any) -> list[str]:
    return [trial.state.name for queue in sweep.studies for trial in queue.outcomes()]


@pytest.mark.slow
def test_a_failed_run_fails_its_trial_alone_and_is_tried_again(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.runs.outcomes = {
        ("cnn_jepa.predictor_depth-2", 1): "failed",
        ("cnn_jepa.predictor_depth-1", 0): "failed",
    }
    assert sweep.work() == 2
    record = sweep.write()
    states = {trial.parameters[DEPTH]: (trial.state, trial.message) for trial in record.studies[0].trials}
    assert states[3] == ("complete", "")
    assert states[2] == ("failed", "seed 1: failed")
    assert states[1] == ("failed", "seed 0: failed")
    assert record.device_hours == pytest.approx(5 * 0.01)  # what failed has cost, too
    assert sum(line.startswith("cnn_jepa, trial ") and line.endswith(": seed 1: failed") for line in sweep.said) == 1
    with (console := Console(width=200)).capture() as shown:
        ConsoleReporter(False, console).study(record)
    assert "1 of 3 trials done, 2 failed; 5 runs took" in shown.get()
    again = open_sweep()
    assert again.work() == 0
    assert _states(again) == ["COMPLETE"] * 3


@pytest.mark.slow
def test_a_diverged_run_leaves_its_trial_without_a_value_for_good(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.runs.outcomes = {("cnn_jepa.predictor_depth-2", 0): "diverged"}
    assert sweep.work() == 0
    (trial,) = (trial for trial in sweep.write().studies[0].trials if trial.parameters[DEPTH] == 2)
    assert (trial.state, trial.value, trial.message) == ("pruned", None, "seed 0: diverged")
    assert open_sweep().work() == 0
    assert sorted(_states(open_sweep())) == ["COMPLETE", "COMPLETE", "PRUNED"]


@pytest.mark.slow
def test_stopping_puts_the_trial_back_with_nothing_left_running(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.runs.outcomes = {(f"cnn_jepa.predictor_depth-{d}", 1): Interrupted() for d in (1, 2, 3)}
    with pytest.raises(Interrupted):
        sweep.work()
    assert sorted(_states(sweep)) == ["WAITING"] * 3
    again = open_sweep()
    again.work()
    assert _states(again) == ["COMPLETE"] * 3
    assert len(again.studies[0].trials(TrialState.COMPLETE)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_weak_runs_are_pruned_and_their_cost_is_recorded(open_sweep: Callable[..., Any], pruner: str) -> None:
    # Falling with the learning rate, so that some are pruned.
    sweep = open_sweep(
        parameters={LR: RATE}, sampler="random", trials=8, pruner=pruner, seeds=[0],
        score=lambda data, seed: 50 - 1000 * data["optimizer"]["lr"],
    )  # fmt: skip
    sweep.work()
    record = sweep.write()
    trials = record.studies[0].trials
    pruned = [trial for trial in trials if trial.state == "pruned"]
    complete = [trial for trial in trials if trial.state == "complete"]
    assert pruned and len(complete) >= 4 and len(pruned) + len(complete) == 8
    assert min(trials, key=lambda trial: trial.parameters[LR]) in complete  # the best is never pruned
    assert all(trial.value is None and trial.runs[0].status == "pruned" for trial in pruned)
    # At the second of four points at the earliest, which is half of a run's 0.01 device-hours.
    costs = [trial.runs[0].device_hours for trial in pruned]
    assert min(costs) == pytest.approx(0.005) and max(costs) < 0.01
    assert record.device_hours == pytest.approx(0.01 * len(complete) + sum(costs))
    assert never_prune not in sweep.runs.pruners


@pytest.mark.slow
def test_an_interruption_among_learned_points_changes_none_after_it(open_sweep: Callable[..., Any]) -> None:
    stopped = 10
    options = {"parameters": {LR: RATE, DEPTH: {"low": 1, "high": 4}}, "sampler": "tpe", "seeds": [0], "trials": 14}
    plain = open_sweep(**options, study="plain")
    plain.work()
    expected = [trial.params for trial in plain.studies[0].outcomes()]
    broken = open_sweep(**options, study="broken")
    taken = 0

    def run(*args: Any, **more: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == stopped + 1:
            raise Interrupted
        return original(*args, **more)

    original, broken.runs.run = broken.runs.run, run
    with pytest.raises(Interrupted):
        broken.work()
    broken.work()
    assert [trial.params for trial in broken.studies[0].outcomes()] == expected


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_learning_samplers_continue_from_drawn_points(open_sweep: Callable[..., Any], sampler: str) -> None:
    options = {"parameters": {LR: RATE, DEPTH: {"low": 1, "high": 4}}, "sampler": sampler, "seeds": [0]}
    sweep = open_sweep(**options, trials=12)
    sweep.work()
    record = sweep.write()
    trials = record.studies[0].trials
    assert len(trials) == 12 and {trial.state for trial in trials} == {"complete"}
    assert set(record.studies[0].importances) == {LR, DEPTH}
    drawn = open_sweep(**{**options, "sampler": "random"}, trials=10, study="drawn").studies[0].space.points()
    assert [trial.parameters for trial in trials[:10]] == drawn
    if sampler == "nsga2":
        values = sweep.studies[0].trials(TrialState.COMPLETE)[0].values
        assert values[1] == pytest.approx(0.01)  # device-hours
