"""Runs that serve selection: their records, what they never read, and how they are pruned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from rich.console import Console

from benchmark.analysis.tables import leaderboard
from benchmark.cli.console import ConsoleReporter
from benchmark.data.datasets import load_dataset
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.interrupt import StopSignal
from benchmark.machine.locks import DeviceLock
from benchmark.machine.ranks import Ranks
from benchmark.runs import scores
from benchmark.runs.run import never_prune
from benchmark.runs.runner import RunContext, RunOptions, execute

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="run_once")
def run_once_fixture(bench: Any, tmp_path: Path) -> Any:
    """Runs one entry, for whatever purpose."""
    experiment, source = load_experiment(
        str(bench.config(evaluation={"points": 4})), methods=["simclr"], settings=["precision='32'"]
    )
    dataset = load_dataset(experiment.dataset, None)
    device = torch.device("cpu")
    (spec,) = plan_runs(experiment, resolve_entries(experiment, source), dataset, device)

    def run_once(purpose: Any, should_prune: Any = never_prune) -> Any:
        options, reporter = RunOptions(out=tmp_path / "out"), ConsoleReporter(True, Console())
        with DeviceLock("cpu") as lock:
            context = RunContext(
                dataset, options, Ranks(device), [lock], reporter, StopSignal(lambda text: None), should_prune
            )
            return execute(replace(spec, purpose=purpose), context)

    return run_once


@pytest.mark.slow
def test_a_trial_never_reads_the_test_split(run_once: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> Any:
        raise AssertionError("the test split was read")

    evaluate = scores.evaluate

    def guarded(encoder: Any, data: Any, split: Any, device: Any, **options: Any) -> Any:
        return read() if split == "test" else evaluate(encoder, data, split, device, **options)

    with monkeypatch.context() as patch:
        patch.setattr(scores, "evaluate", guarded)
        patch.setattr(scores, "_classifier_top1", read)
        record = run_once("trial")
    assert record.status == "completed", record.message
    assert (record.purpose, record.metrics) == ("trial", None)
    assert 0 < record.trial_metrics.scores.linear_top1 <= 100
    assert len(record.trial_metrics.validation) == 4
    # The same run as a result is another matter: it is trained for its test, and serves later trials as well.
    result = run_once("result")
    assert result.metrics.scores.linear_validation_top1 == record.trial_metrics.scores.linear_top1
    assert run_once("trial") == result
    # Side by side in one table they are two rows.
    assert len(leaderboard([record, result])) == 2


@pytest.mark.slow
def test_a_pruned_run_says_what_it_cost(run_once: Any) -> None:
    seen: list[float] = []

    def should_prune(scores: Any) -> bool:
        seen.append(scores["progress"])
        return len(seen) == 2

    record = run_once("trial", should_prune)
    assert seen == [0.3, 0.5]  # of ten steps, the first that reach a quarter and a half
    assert (record.status, record.message) == ("pruned", "pruned at 50% of its budget")
    assert record.metrics is None and record.trial_metrics is None
    assert record.ledger.steps == 5 and record.ledger.training_time > 0
    assert run_once("trial").status == "pruned"  # it is final


@pytest.mark.slow
def test_nobody_is_asked_at_the_end_of_a_run(run_once: Any) -> None:
    seen: list[float] = []
    record = run_once("trial", lambda scores: bool(seen.append(scores["progress"])))
    assert record.status == "completed" and seen == [0.3, 0.5, 0.8]
