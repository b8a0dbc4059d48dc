"""The runs of trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from priced_specs import cost_of

from benchmark.data.datasets import load_dataset
from benchmark.errors import UserError
from benchmark.machine.interrupt import StopSignal
from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.records.cost import write_cost
from benchmark.records.folder import read_record
from benchmark.runs.prices import CostSource
from benchmark.sweep.space import check_on_data
from benchmark.sweep.trial_runs import SweepOptions, TrialRuns, sweep_cost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.cost import StepCost

CPU = torch.device("cpu")

LR = "cnn_jepa.optimizer.lr"
RATE = {"low": 0.0001, "high": 0.01, "log": True}
WEAK = 4  # number of a trial that hyperband compares with the one before, in its strictest bracket


@pytest.mark.slow
def test_a_real_run_is_pruned_by_hyperband(
    open_sweep: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs before it are made up, and better than anything that so few steps can reach."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    sweep = open_sweep(
        parameters={LR: RATE}, sampler="random", trials=WEAK + 1, pruner="hyperband", seeds=[0],
        score=lambda data, seed: 100.0,
    )  # fmt: skip
    made_up = sweep.runs.run
    real = TrialRuns(
        *(getattr(sweep.runs, name) for name in ("source", "dataset", "options", "stop_signal", "say"))
    ).run
    sweep.runs.run = lambda *run, **options: (real if len(sweep.runs.executed) == WEAK else made_up)(*run, **options)
    sweep.work()
    trial = sweep.write().studies[0].trials[WEAK]
    assert (trial.state, trial.message) == ("pruned", "seed 0: pruned (pruned at 50% of its budget)")
    (run,) = trial.runs
    record = read_record(sweep.folder / run.record)
    assert record.status == "pruned" and record.ledger is not None and record.ledger.steps == 2  # of four
    assert run.device_hours == record.ledger.device_hours > 0
    assert [progress for progress, _, _ in run.curve] == [0.25, 0.5]


def test_one_record_prices_all_points_of_a_sweep(resolve: Callable[..., Any], tmp_path: Path) -> None:
    def costs(resolved: Any) -> tuple[list[RunSpec], Dataset, Callable[[], StepCost | None]]:
        dataset = load_dataset(resolved.experiment.dataset, None)
        specs = check_on_data(resolved, dataset, CPU)
        source = CostSource(tmp_path / "costs", "measure it with: bench cost tiny")
        return specs, dataset, lambda: sweep_cost(resolved, specs, dataset, source, CPU, str)

    calibrated = {"budget": {"calibrated_time": "2s"}}
    assert costs(resolve(parameters={LR: RATE}, trials=2, sampler="random"))[2]() is None  # another kind of budget
    rates = resolve(tiny=calibrated, parameters={LR: RATE}, trials=2, sampler="random")
    specs, dataset, find = costs(rates)
    with pytest.raises(UserError, match="has none; measure it with: bench cost tiny"):
        find()
    cost = cost_of(specs[:1], {specs[0].entry.name: 0.5})  # a rate does not change what a step costs
    write_cost(tmp_path / "costs" / "a.json", cost)
    assert find() == cost
    options, stop_signal = SweepOptions(tmp_path / "out"), StopSignal(str)
    runs = TrialRuns(rates.source, dataset, options, stop_signal, str, cost)
    spec = runs.plan(rates.spaces[0].data({LR: 0.005}, [0]))
    assert (spec.budget.steps, spec.config()["budget"]["step_cost"]) == (4, cost.key)

    depths = resolve(tiny=calibrated)
    with pytest.raises(UserError, match=r"no price for .*; a parameter of the sweep changes what a step costs"):
        costs(depths)[2]()
    with pytest.raises(UserError, match=r"no price for cnn_jepa.predictor_depth-7: a parameter of the sweep changes"):
        runs.plan(depths.spaces[0].data({"cnn_jepa.predictor_depth": 7}, [0]))
    specs, _, find = costs(depths)
    every = cost_of(specs, {spec.entry.name: 0.1 for spec in specs}, ended="2026-02-01T10:00:00+00:00")
    write_cost(tmp_path / "costs" / "b.json", every)
    assert find() == every
