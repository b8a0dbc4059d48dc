"""The one training loop: the same for every method.

Shape suffixes: B images, C channels, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from benchmark.cost.budget import Consumed
from benchmark.randomness import generator
from benchmark.training.optim import set_schedule
from methods.base import Batch, Step

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from benchmark.cost.ledger import Ledger
    from benchmark.data.augment import Augmenter
    from benchmark.data.batches import Batches, RawBatch
    from benchmark.experiment import RunPlan
    from methods.base import Method

LOG_EVERY = 20  # steps; also how often the device is asked whether the loss is still finite
SAVE_EVERY = 300.0  # seconds of training between two saved states, beside those at evaluation points

Mark = Callable[[str], None]


class Objective(nn.Module):
    """A method behind a flat signature, which wrappers (precision, DDP) can look into."""

    def __init__(self, method: Method[Any]) -> None:
        super().__init__()
        self.method = method

    def forward(
        self, views: tuple[Tensor, ...], labels_B: Tensor, sample_ids_B: Tensor, progress: float, index: int, draws: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The method's loss and logged scalars."""
        output = self.method(Batch(views, labels_B, sample_ids_B), Step(progress, index, draws))
        return output.loss, output.logs


@dataclass
class Training:
    """All that a run's steps need. `history` grows; everything else is set up once."""

    plan: RunPlan
    fabric: Fabric
    method: Method[Any]
    objective: nn.Module
    optimizer: torch.optim.Optimizer
    lr: float
    augmenter: Augmenter
    batches: Batches
    ledger: Ledger
    step: int = 0
    points_done: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total_steps(self) -> int | None:
        """Steps of the whole run, where the budget tells beforehand."""
        batches = self.batches
        return self.plan.budget.total_steps(batches.steps_per_epoch, batches.batch_size, self.ledger.flops_per_step)

    @property
    def progress(self) -> float:
        """Consumed / limit."""
        consumed = Consumed(self.ledger.steps, self.ledger.samples, self.ledger.training_time, self.fabric.world_size)
        return self.plan.budget.progress(consumed, self.total_steps)


class Watcher(Protocol):
    """Who is told what happens, and does what the loop leaves to others."""

    def advanced(self, training: Training, loss: float) -> None:
        """Called every `LOG_EVERY` steps."""

    def evaluate(self, training: Training) -> dict[str, float]:
        """Scores on the validation split."""

    def hopeless(self, training: Training) -> bool:
        """Whether a run that has just been evaluated is not worth going on with."""

    def save(self, training: Training) -> None:
        """Saves the state from which the run can go on."""

    def stop_requested(self) -> bool:
        """Whether the user wants to interrupt."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The run was interrupted and its state saved."""


def run_step(
    training: Training, progress: float, mark: Mark = lambda part: None, ready: RawBatch | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step: data, views, loss, backward, optimizer, the method's follow-up.

    Args:
        training: what is trained.
        progress: in force during the step.
        mark: told whenever a part of the step is done, for whoever measures parts.
        ready: a batch to use instead of fetching the step's own, for whoever measures without waiting for data.

    Returns:
        The loss and the method's logged scalars, detached, on the device.
    """
    plan, index = training.plan, training.step
    with training.ledger.waiting_for_data():
        raw = ready or training.batches.fetch(index)
    mark("data")
    size = (raw.images_BCHW.shape[2], raw.images_BCHW.shape[3])
    draws = training.augmenter.sample(len(raw.images_BCHW), size, generator(plan.seed, "views", index))
    views = training.augmenter(raw.images_BCHW, draws)
    mark("views")
    step = Step(progress, index, generator(plan.seed, "masks", index))
    loss, logs = training.objective(views, raw.labels_B, raw.sample_ids_B, progress, index, step.generator)
    mark("forward")
    training.fabric.backward(loss)
    mark("backward")
    training.method.after_backward(step)
    spec = plan.settings.optimizer
    if spec.clip is not None:
        training.fabric.clip_gradients(training.objective, training.optimizer, max_norm=spec.clip)
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)
    mark("optimizer")
    training.method.after_step(step)
    mark("ema")
    return loss.detach(), logs


def train(training: Training, watcher: Watcher, points: int) -> Literal["completed", "diverged", "pruned"]:
    """Trains until the budget is spent.

    Args:
        training: what is trained, at its start or as resumed.
        watcher: evaluates, saves, reports.
        points: number of evaluation points, even in progress, the last at its end.

    Returns:
        How it ended; `diverged` when a loss was not finite, `pruned` when the watcher gave it up.

    Raises:
        Interrupted: the watcher asked for it; the state is saved.
    """
    ledger, plan = training.ledger, training.plan
    training.method.train()
    saved_at = ledger.training_time
    finite = torch.ones((), dtype=torch.bool, device=training.fabric.device)
    with ledger.phase("training"):
        ledger.close_window()
        progress = training.progress
        while progress < 1.0:
            lr = set_schedule(training.optimizer, plan.settings.optimizer, training.lr, progress)
            loss, logs = run_step(training, progress)
            finite &= torch.isfinite(loss)
            ledger.count(training.batches.batch_size, plan.method.encoder_passes)
            training.step += 1
            before, progress = progress, max(progress, training.progress)
            at_point = progress >= (training.points_done + 1) / points
            if training.step % LOG_EVERY == 0 or at_point:
                with ledger.phase("logging"):
                    ledger.close_window()  # inside, where the device has caught up
                    if not finite.item():
                        return "diverged"
                    _log(training, before, loss, logs, lr)
                    watcher.advanced(training, training.history[-1]["loss"])
            if at_point:
                _evaluate(training, watcher, progress, points)
                if progress < 1.0 and _is_hopeless(training, watcher):
                    return "pruned"
            stop = watcher.stop_requested()
            if at_point or stop or ledger.training_time - saved_at > SAVE_EVERY:
                with ledger.phase("checkpointing"):
                    watcher.save(training)
                saved_at = ledger.training_time
            if stop:
                raise Interrupted
    return "completed"


def _log(training: Training, progress: float, loss: Tensor, logs: dict[str, Tensor], lr: float) -> None:
    """Adds a line to the history. It holds no times: those of two equal runs differ."""
    line = {"kind": "train", "step": training.step, "progress": progress, "lr": lr, "loss": float(loss)}
    training.history.append({**line, **{name: float(value) for name, value in logs.items()}})


def _evaluate(training: Training, watcher: Watcher, progress: float, points: int) -> None:
    """Probes at a set point of progress; costs no training time."""
    with training.ledger.phase("evaluation"):
        scores = watcher.evaluate(training)
    training.ledger.mark_point(progress)
    # A step may pass several points at once; they share one evaluation.
    training.points_done = math.floor(progress * points + 1e-9)
    training.history.append({"kind": "evaluation", "step": training.step, "progress": progress, **scores})


def _is_hopeless(training: Training, watcher: Watcher) -> bool:
    """Asks outside the training time: whoever judges may take a while."""
    with training.ledger.phase("evaluation"):
        return watcher.hopeless(training)
