"""The runs of trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.records.folder import read_record
from benchmark.sweep.trial_runs import TrialRuns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
