"""The one training loop: the same for every method.

Shape suffixes: B images, C channels, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from benchmark.errors import Interrupted
from benchmark.randomness import generator
from benchmark.training.acceleration import begin_step
from benchmark.training.optim import set_schedule
from methods.base import Batch, Step

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from benchmark.cost.ledger import Ledger
    from benchmark.data.loader import Batches, RawBatch
    from benchmark.data.views.augment import Augmenter
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.ranks import Ranks
    from methods.base import Method

LOG_EVERY = 20  # steps; also how often the device is asked whether the loss is still finite
SAVE_EVERY = 300.0  # seconds of training between two saved states, beside those at evaluation points

Mark = Callable[[str], None]


class Objective(nn.Module):
    """Calls a method with plain tensors as arguments, so that wrappers (precision, DDP) see them."""

    def __init__(self, method: Method[Any]) -> None:
        super().__init__()
        self.method = method

    def forward(
        self, views: tuple[Tensor, ...], labels_B: Tensor, ids_B: Tensor, boxes: tuple[Tensor, ...], *step: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The method's loss and logged scalars; `step` holds the fields of a `Step`."""
        output = self.method(Batch(views, labels_B, ids_B, boxes), Step(*step))
        return output.loss, output.logs


@dataclass
class Training:
    """Everything that a run's training steps need.

    `history` holds the lines of `history.jsonl`. `elapsed` is the training time that counts: the slowest rank's, agreed
    on after every step.
    """

    spec: RunSpec
    fabric: Fabric
    method: Method[Any]
    objective: nn.Module
    optimizer: torch.optim.Optimizer
    lr: float
    augmenter: Augmenter
    batches: Batches
    ledger: Ledger
    ranks: Ranks
    elapsed: float = 0.0
    step: int = 0
    points_done: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def encoded(self) -> tuple[int, int]:
        """Views of each image, and pixels of them, that pass an encoder in a step."""
        passes = self.method.encoder_passes(self.spec.settings)
        sizes = self.augmenter.sizes
        return sum(passes), sum(often * size**2 for often, size in zip(passes, sizes, strict=True))

    @property
    def total_steps(self) -> int | None:
        """Steps of the whole run; None under a budget of time."""
        batches = self.batches
        return self.spec.budget.total_steps(batches.steps_per_epoch, batches.batch_size, self.ledger.flops_per_step)

    @property
    def progress(self) -> float:
        """Consumed / limit, the same on every rank."""
        ledger = self.ledger
        time, devices = self.elapsed, ledger.mean_devices(self.elapsed)
        return self.spec.budget.progress(self.total_steps, steps=ledger.steps, training_time=time, devices=devices)

    def pace(self, progress: float) -> float:
        """Progress that a step makes.

        Under a budget of time the mean of those so far, 0 before the first; 0, too, while the FLOPs of a step, which a
        budget of FLOPs needs, are being counted.
        """
        if self.spec.budget.kind == "flops" and not self.ledger.flops_per_step:
            return 0.0
        total = self.total_steps
        return 1 / total if total is not None else progress / max(1, self.step)


class Callbacks:
    """What the loop calls: progress reports, evaluation, pruning, saving and interrupts. These do nothing."""

    def advanced(self, training: Training, loss: float) -> None:
        """Called every `LOG_EVERY` steps and at evaluation points."""

    def evaluate(self, training: Training) -> dict[str, float]:
        """Scores on the validation split."""
        return {}

    def should_prune(self, training: Training) -> bool:
        """Whether to give up a run that has just been evaluated."""
        return False

    def save(self, training: Training) -> None:
        """Saves the state for resuming."""

    def stop_requested(self) -> bool:
        """Whether the user wants to interrupt."""
        return False


def run_step(
    training: Training, progress: float, mark: Mark = lambda part: None, ready: RawBatch | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step: data, views, loss, backward, optimizer, the method's follow-up.

    Args:
        mark: called with the name of each part of the step when it is done, to measure parts.
        ready: a batch to use instead of fetching the step's own, to measure without waiting for data.

    Returns:
        The loss and the method's logged scalars of this process's share, detached, on the device.
    """
    spec, index = training.spec, training.step
    begin_step(spec.experiment.acceleration)
    with training.ledger.waiting_for_data():
        raw = ready or training.batches.fetch(index)
    mark("data")
    views = training.batches.views(raw, training.augmenter, index)
    boxes = training.batches.boxes(raw, training.augmenter, index) if spec.method.needs_boxes else ()
    mark("views")
    loss, logs = _differentiate(training, raw, views, boxes, progress, mark)
    step = Step(progress, index, generator(spec.seed, "masks", index), pace=training.pace(progress))
    training.method.after_backward(step)
    clip = spec.settings.optimizer.clip
    if clip is not None:
        # A check of the norm would wait for the device, and raise where a run that diverges is to be recorded as such.
        training.fabric.clip_gradients(training.objective, training.optimizer, max_norm=clip, error_if_nonfinite=False)
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)
    mark("optimizer")
    training.method.after_step(step)
    mark("ema")
    return loss, logs


def _differentiate(
    training: Training,
    raw: RawBatch,
    views: tuple[Tensor, ...],
    boxes: tuple[Tensor, ...],
    progress: float,
    mark: Mark,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Forward and backward pass of this process's share, in micro-batches; returns the detached means."""
    spec, index, batches = training.spec, training.step, training.batches
    parts = spec.experiment.accumulate
    assert batches.share % parts == 0, "checked with the experiment"
    size = batches.share // parts
    losses: list[Tensor] = []
    logged: list[dict[str, Tensor]] = []
    for first in range(0, batches.share, size):
        own = slice(first, first + size)
        cut = [tuple(tensor_B[own] for tensor_B in tensors) for tensors in (views, boxes)]
        batch = (cut[0], raw.labels_B[own], raw.sample_ids_B[own], cut[1])
        draws = generator(spec.seed, "masks", index)
        # Ranks exchange their gradients in the last backward pass.
        with training.fabric.no_backward_sync(training.objective, enabled=own.stop < batches.share):
            loss, logs = training.objective(*batch, progress, index, draws, batches.start + first, batches.batch_size)
            mark("loss")
            training.fabric.backward(loss / parts)
            mark("backward")
        losses.append(loss.detach())
        logged.append(logs)
    if parts == 1:
        return losses[0], logged[0]
    return torch.stack(losses).mean(), {name: torch.stack([logs[name] for logs in logged]).mean() for name in logged[0]}


def advance(
    training: Training, progress: float, finite: Tensor, stop_requested: Callable[[], bool] = lambda: False
) -> tuple[float, Tensor, dict[str, Tensor], bool]:
    """One step with all that is charged to it: the schedule, the step, its count, and what the ranks agree on.

    Args:
        finite: becomes False, on the device, if the loss is not finite.
        stop_requested: whether this rank wants to interrupt, asked after the step.

    Returns:
        The learning rate, what `run_step` returns, and whether any rank wants to interrupt.
    """
    spec, ledger = training.spec, training.ledger
    lr = set_schedule(training.optimizer, spec.settings.optimizer, training.lr, progress)
    loss, logs = run_step(training, progress)
    finite &= torch.isfinite(loss)
    ledger.count(training.batches.batch_size, *training.encoded)
    training.step += 1
    training.elapsed, stop = training.ranks.agree(ledger.training_time, stop_requested())
    return lr, loss, logs, stop


def train(training: Training, callbacks: Callbacks, points: int) -> Literal["completed", "diverged", "pruned"]:
    """Trains until the budget is spent; `diverged` if a loss was not finite, `pruned` if the callbacks gave it up.

    Args:
        points: number of evaluation points, evenly spaced in progress, the last at its end.

    Raises:
        Interrupted: the callbacks requested it; the state is saved.
    """
    ledger, ranks = training.ledger, training.ranks
    training.method.train()
    saved_at = training.elapsed
    finite = torch.ones((), dtype=torch.bool, device=training.fabric.device)
    with ledger.phase("training"):
        ledger.close_window()
        progress = training.progress
        while progress < 1.0:
            lr, loss, logs, stop = advance(training, progress, finite, callbacks.stop_requested)
            before, progress = progress, max(progress, training.progress)
            at_point = progress >= (training.points_done + 1) / points
            if training.step % LOG_EVERY == 0 or at_point:
                with ledger.phase("logging"):
                    ledger.close_window()  # after the synchronisation at the start of the phase
                    if ranks.any(not finite.item()):
                        return "diverged"
                    _log(training, before, loss, logs, lr)
                    callbacks.advanced(training, training.history[-1]["loss"])
            if at_point:
                _evaluate(training, callbacks, progress, points)
                with ledger.phase("evaluation"):  # the decision may take a while
                    if progress < 1.0 and callbacks.should_prune(training):
                        return "pruned"
                stop = ranks.any(callbacks.stop_requested())
            if at_point or stop or training.elapsed - saved_at > SAVE_EVERY:
                with ledger.phase("checkpointing"):
                    callbacks.save(training)
                saved_at = training.elapsed
            if stop:
                raise Interrupted
        if training.points_done < points:  # a resumed run may be past its end, by the time it took to save its state
            _evaluate(training, callbacks, progress, points)
    return "completed"


def _log(training: Training, progress: float, loss: Tensor, logs: dict[str, Tensor], lr: float) -> None:
    """Adds a line to the history. It holds no times, which differ between two equal runs."""
    line = {"kind": "train", "step": training.step, "progress": progress, "lr": lr}
    values = training.ranks.mean({name: float(value) for name, value in {"loss": loss, **logs}.items()})
    training.history.append({**line, **values})


def _evaluate(training: Training, callbacks: Callbacks, progress: float, points: int) -> None:
    """Evaluates at a set point of progress; costs no training time."""
    with training.ledger.phase("evaluation"):
        scores = callbacks.evaluate(training)
    training.ledger.mark_point(progress)
    # A step may pass several points at once; they share one evaluation.
    training.points_done = math.floor(progress * points + 1e-9)
    training.history.append({"kind": "evaluation", "step": training.step, "progress": progress, **scores})
