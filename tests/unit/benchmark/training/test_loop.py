"""The training loop: steps, evaluation points, and the ways in which a run ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmark.errors import Interrupted
from benchmark.training import loop
from benchmark.training.loop import Callbacks, run_step, train
from benchmark.training.profile import undone
from methods.base import LossOutput


class Recorder(Callbacks):
    """Notes the steps at which the loop calls."""

    def __init__(self, *, prune_at: int = 0, stop_after: int = 0) -> None:
        self.calls: list[tuple[str, int]] = []
        self.prune_at, self.stop_after = prune_at, stop_after
        self.steps = 0

    def advanced(self, training: Any, loss: float) -> None:
        self.calls.append(("advanced", training.step))

    def evaluate(self, training: Any) -> dict[str, float]:
        self.calls.append(("evaluate", training.step))
        return {"linear_top1": 12.5}

    def save(self, training: Any) -> None:
        self.calls.append(("save", training.step))

    def should_prune(self, training: Any) -> bool:
        return training.step == self.prune_at

    def stop_requested(self) -> bool:
        self.steps += 1
        return self.steps == self.stop_after


def test_a_run_takes_its_steps_and_is_evaluated_and_saved_at_each_point(make_training: Any) -> None:
    training, recorder = make_training(), Recorder()
    assert train(training, recorder, points=4) == "completed"
    assert training.step == training.ledger.steps == 10
    assert training.ledger.samples == 160
    points = [3, 5, 8, 10]  # the first steps that reach a quarter, a half, three quarters and all of ten
    assert recorder.calls == [(name, step) for step in points for name in ("advanced", "evaluate", "save")]
    kinds = [(line["kind"], line["step"]) for line in training.history]
    assert kinds == [(kind, step) for step in points for kind in ("train", "evaluation")]
    assert training.history[1] == {"kind": "evaluation", "step": 3, "progress": 0.3, "linear_top1": 12.5}
    assert [point.progress for point in training.ledger.record(None).evaluation_points] == [0.3, 0.5, 0.8, 1.0]


@pytest.mark.parametrize(
    ("budget", "paces"),
    [({"steps": 4}, [0.25] * 4), ({"epochs": 0.4}, [0.5] * 2), ({"wall_clock": 1000}, [0.0])],
)
def test_a_method_is_told_how_much_progress_a_step_makes(
    make_training: Any, monkeypatch: pytest.MonkeyPatch, budget: dict[str, float], paces: list[float]
) -> None:
    training, seen = make_training(budget=budget), list[float]()
    monkeypatch.setattr(training.method, "after_step", lambda step: seen.append(step.pace))
    for _ in paces:
        run_step(training, training.progress)
        training.step += 1
    assert seen == pytest.approx(paces)
    assert training.pace(0.3) == pytest.approx(paces[0] or 0.3)  # under a budget of time: so far, 0.3 in one step


@pytest.mark.slow
def test_the_loss_falls(make_training: Any) -> None:
    training = make_training(budget={"steps": 40})
    train(training, Callbacks(), points=8)
    losses = [line["loss"] for line in training.history if line["kind"] == "train"]
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_loss_that_is_not_finite_ends_the_run(
    make_training: Any, monkeypatch: pytest.MonkeyPatch, clip: float | None
) -> None:
    optimizer = {"name": "sgd", "lr": 0.1, "clip": clip}
    entry = {"method": "supervised", "overrides": {"optimizer": optimizer}}
    training, recorder = make_training(entries=[entry]), Recorder()

    def loss(batch: Any, step: Any) -> LossOutput:
        value = training.method.backbone.net.conv1.weight.sum()
        return LossOutput(value * (torch.nan if step.index == 1 else 1.0))

    monkeypatch.setattr(training.method, "loss", loss)
    assert train(training, recorder, points=2) == "diverged"
    assert training.step == 5 and recorder.calls == []  # noticed at the first point, though finite at its own step
    assert training.history == []


def test_a_run_that_is_pruned_stops_at_that_point_but_never_at_its_end(make_training: Any) -> None:
    training = make_training()
    assert train(training, Recorder(prune_at=5), points=4) == "pruned"
    assert training.step == 5
    assert train(make_training(), Recorder(prune_at=10), points=4) == "completed"


def test_an_interrupt_saves_the_state_after_the_step(make_training: Any) -> None:
    training, recorder = make_training(), Recorder(stop_after=2)
    with pytest.raises(Interrupted):
        train(training, recorder, points=1)
    assert training.step == 2 and recorder.calls == [("save", 2)]


def test_a_state_is_saved_after_some_time_between_points(make_training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    recorder = Recorder()
    train(make_training(budget={"steps": 3}), recorder, points=1)
    assert [step for name, step in recorder.calls if name == "save"] == [1, 2, 3]


def test_a_step_depends_on_its_number_alone(make_training: Any) -> None:
    training = make_training("simclr")
    losses = []
    for step in (0, 1, 0):
        with undone(training):
            training.step = step
            losses.append(float(run_step(training, 0.0)[0]))
    assert losses[0] == losses[2] != losses[1]


def test_micro_batches_share_the_batch_and_their_losses_are_averaged(
    make_training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make_training(accumulate=2)
    batches = []

    def loss(batch: Any, step: Any) -> LossOutput:
        batches.append((batch.labels.tolist(), step.start, step.batch_size))
        return LossOutput(
            training.method.backbone.net.conv1.weight.sum() * 0 + len(batches), {"number": torch.tensor(3.0)}
        )

    monkeypatch.setattr(training.method, "loss", loss)
    value, logs = run_step(training, 0.0)
    labels = training.batches.fetch(0).labels_B.tolist()
    assert batches == [(labels[:8], 0, 16), (labels[8:], 8, 16)]
    assert float(value) == 1.5 and float(logs["number"]) == 3.0


def test_a_batch_at_hand_replaces_the_steps_own(make_training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    training = make_training()
    ready = training.batches.fetch(0)
    monkeypatch.setattr(training.batches, "fetch", lambda step: pytest.fail("a batch was fetched"))
    parts: list[str] = []
    run_step(training, 0.0, parts.append, ready)
    assert parts == ["data", "views", "loss", "backward", "optimizer", "ema"]
