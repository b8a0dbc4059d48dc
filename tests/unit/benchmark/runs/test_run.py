"""One run: resuming, pruning, diverging."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.errors import Interrupted
from benchmark.machine.interrupt import StopSignal
from benchmark.runs.run import Run
from benchmark.training.loop import Callbacks, train
from methods.contract import SMALL
from methods.registry import method_class, own_methods

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.training.loop import Training

CPU = torch.device("cpu")


class _StopAfter:
    """A stop signal that comes after some steps."""

    def __init__(self, checks: int) -> None:
        self._left = checks

    @property
    def requested(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.fixture
def start(dataset: Dataset, notes: Any, tmp_path: Path) -> Any:
    """A run in a folder of its own."""

    def start(spec: RunSpec, name: str, **options: Any) -> Run:
        stop_signal = options.pop("stop_signal", StopSignal(notes.say))
        return Run(spec, dataset, CPU, tmp_path / "results" / "x" / name / "y", notes, stop_signal, **options)

    return start


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_scores(
    make_specs: Callable[..., list[RunSpec]], start: Any, notes: Any
) -> None:
    (spec,) = make_specs("simclr", budget={"steps": 6})
    whole = start(spec, "whole")
    assert whole.resumed_at is None
    status, _, metrics = whole.train_and_test()
    assert status == "completed"
    interrupted = start(spec, "parts", stop_signal=_StopAfter(2))
    with pytest.raises(Interrupted):
        interrupted.train_and_test()
    resumed = start(spec, "parts")
    assert 0 < resumed.resumed_at < 1 and resumed.training.step == interrupted.training.step
    assert resumed.train_and_test() == (status, None, metrics)
    first, second = ((run.folder / "history.jsonl").read_text() for run in (whole, resumed))
    assert first == second
    for run in (whole, interrupted, resumed):
        run.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in own_methods() if method_class(name).trainable])
def test_every_method_resumes_bit_by_bit(make_specs: Callable[..., list[RunSpec]], start: Any, name: str) -> None:
    # One network each: what networks keep is the same for all methods.
    kind = "cnn" if "cnn" in method_class(name).backbone_kinds else "vit"
    entry = {"method": name, "backbone": {"name": "", **SMALL[kind].model_dump(mode="json")}}
    (spec,) = make_specs(entries=[entry])
    left = []
    for folder, stops in (("whole", ()), ("parts", (1,))):
        for stop in (*stops, None):
            run = start(spec, folder)
            callbacks = _Unprobed(run, stop)
            with pytest.raises(Interrupted) if stop else nullcontext():
                train(run.training, callbacks, points=1)
            run.close()
        assert run.training.step == 2
        left.append(run)
    whole, parts = left
    assert parts.resumed_at == 0.5
    for one, other in (
        (whole.method.state_dict(), parts.method.state_dict()),
        (whole.training.optimizer.state_dict()["state"], parts.training.optimizer.state_dict()["state"]),
    ):
        torch.testing.assert_close(one, other, rtol=0.0, atol=0.0)
    assert whole.training.history == parts.training.history


class _Unprobed(Callbacks):
    """A run that is saved, but not scored; it wants to stop after a step."""

    def __init__(self, run: Run, stop: int | None) -> None:
        self._run, self._stop = run, stop

    def save(self, training: Training) -> None:
        self._run.save(training)

    def stop_requested(self) -> bool:
        assert self._run.training is not None
        return self._run.training.step == self._stop


@pytest.mark.slow
def test_a_state_of_another_key_is_not_resumed(make_specs: Callable[..., list[RunSpec]], start: Any) -> None:
    (spec,) = make_specs("simclr")
    run = start(spec, "saved")
    run.save(run.training)
    (other,) = make_specs("simclr", seeds=[1])
    assert start(other, "saved").resumed_at is None
    assert start(spec, "saved").resumed_at == 0.0


@pytest.mark.slow
def test_pruning_is_asked_at_all_points_but_the_last(make_specs: Callable[..., list[RunSpec]], start: Any) -> None:
    (spec,) = make_specs("simclr", budget={"steps": 4}, evaluation={"points": 4})
    seen: list[float] = []

    def keep(scores: Any) -> bool:
        seen.append(scores["progress"])
        return False

    assert start(spec, "kept", should_prune=keep).train_and_test()[0] == "completed"
    assert seen == [0.25, 0.5, 0.75]
    run = start(spec, "pruned", should_prune=lambda scores: scores["progress"] >= 0.5)
    assert run.train_and_test() == ("pruned", "pruned at 50% of its budget", None)
    assert run.ledger.steps == 2


def test_a_loss_that_is_not_finite_diverges_with_its_history(
    make_specs: Callable[..., list[RunSpec]], start: Any
) -> None:
    settings = ["supervised.optimizer={name: sgd, lr: 1.0e+30, warmup: 0.0}"]
    (spec,) = make_specs("supervised", budget={"steps": 6}, settings=settings)
    run = start(spec, "wild")
    assert run.train_and_test() == ("diverged", "a loss or a feature was not finite", None)
    assert isinstance([json.loads(line) for line in (run.folder / "history.jsonl").read_text().splitlines()], list)


@pytest.mark.slow
def test_a_method_that_trains_nothing_is_scored(make_specs: Callable[..., list[RunSpec]], start: Any) -> None:
    (spec,) = make_specs("random_init")
    run = start(spec, "untrained")
    status, _, metrics = run.train_and_test()
    assert (status, run.training, run.measurements) == ("completed", None, None)
    assert metrics.validation == [] and metrics.trainable_parameters == 0 and metrics.backbone_parameters > 0
