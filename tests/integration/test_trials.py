"""Runs that serve selection: their records, what they never read, and how they are given up."""

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
from benchmark.runs import run as run_module
from benchmark.runs.runner import Options, RunContext

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="carry_out")
def carry_out_fixture(bench: Any, tmp_path: Path) -> Any:
    """Carries out one entry's run, for whatever purpose."""
    experiment, source = load_experiment(
        str(bench.config(evaluation={"points": 4})), methods=["simclr"], settings=["precision='32'"]
    )
    dataset = load_dataset(experiment.dataset, None)
    (plan,) = plan_runs(experiment, resolve_entries(experiment, source), dataset.image_size)

    def carry_out(purpose: Any, judge: Any = run_module.keep) -> Any:
        options = Options(out=tmp_path / "out")
        reporter = ConsoleReporter(True, Console())
        stop_signal = StopSignal(lambda text: None)
        with DeviceLock("cpu") as lock:
            worker = RunContext(dataset, options, Ranks(torch.device("cpu")), [lock], reporter, stop_signal, judge)
            return worker.do(replace(plan, purpose=purpose), (1, 1))

    return carry_out


def test_a_trial_never_reads_the_test_split(carry_out: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> Any:
        raise AssertionError("the test split was read")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "evaluate_test", read)
        patch.setattr(run_module.Run, "_extra", read)
        record = carry_out("trial")
    assert record.status == "completed", record.message
    assert (record.purpose, record.metrics) == ("trial", None)
    assert 0 < record.trial_metrics.scores.linear_top1 <= 100
    assert len(record.trial_metrics.validation) == 4
    # The same run as a result is another matter: it is trained for its test, and serves later trials as well.
    result = carry_out("result")
    assert result.metrics.scores.linear_validation_top1 == record.trial_metrics.scores.linear_top1
    assert carry_out("trial") == result
    # Side by side in one table they are two rows.
    assert len(leaderboard([record, result])) == 2


def test_a_run_that_is_given_up_says_what_it_cost(carry_out: Any) -> None:
    seen: list[float] = []

    def judge(scores: Any) -> bool:
        seen.append(scores["progress"])
        return len(seen) == 2

    record = carry_out("trial", judge)
    assert seen == [0.3, 0.5]  # of ten steps, the first that reach a quarter and a half
    assert (record.status, record.message) == ("pruned", "given up at 50% of its budget")
    assert record.metrics is None and record.trial_metrics is None
    assert record.ledger.steps == 5 and record.ledger.training_time > 0
    assert carry_out("trial").status == "pruned"  # it is final


def test_nobody_is_asked_at_the_end_of_a_run(carry_out: Any) -> None:
    seen: list[float] = []
    record = carry_out("trial", lambda scores: bool(seen.append(scores["progress"])))
    assert record.status == "completed" and seen == [0.3, 0.5, 0.8]
