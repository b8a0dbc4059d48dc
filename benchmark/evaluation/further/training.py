"""Training on augmented labelled images, for the protocols that need it.

Shape suffixes: B images of a batch, N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from benchmark.data.loader import Batches
from benchmark.data.views.augment import Augmenter
from benchmark.evaluation.features import NonFiniteError
from benchmark.randomness import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from benchmark.evaluation.subject import Subject
    from methods.views import ViewSpec

    Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Descent:
    """A protocol's training schedule: a linear warm-up over a share of the steps, then a cosine to 0."""

    epochs: int
    batch_size: int
    view: ViewSpec
    warmup: float = 0.0

    def batch(self, images: int) -> int:
        """The batch size for a split of so many images: no larger than the split."""
        return min(self.batch_size, images)


def descend(subject: Subject, descent: Descent, optimizer: torch.optim.Optimizer, loss: Loss, stream: str) -> None:
    """Minimises a loss over random crops of the train split. Order and crops are drawn with the run's seed.

    Args:
        optimizer: its groups have their peak learning rates.
        loss: of normalised images `(B, 3, S, S)` and labels `(B,)`.
        stream: name of the random stream; also in the error message.

    Raises:
        NonFiniteError: the loss was not finite at the end of an epoch.
    """
    dataset, device = subject.dataset, subject.device
    seed = derive_seed(subject.seed, stream)
    batches = Batches(dataset.train, descent.batch(len(dataset.train)), seed, device)
    augmenter = Augmenter((descent.view,), dataset.image_size, dataset.mean, dataset.std)
    steps = descent.epochs * batches.steps_per_epoch
    schedule = _schedule(optimizer, steps, round(descent.warmup * steps))
    with batches:
        for step in range(steps):
            raw = batches.fetch(step)
            (view_BCSS,) = batches.views(raw, augmenter, step)
            value = loss(view_BCSS, raw.labels_B)
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if (step + 1) % batches.steps_per_epoch == 0 and not bool(value.isfinite()):
                raise NonFiniteError(f"{stream}: the loss is not finite")


def _schedule(optimizer: torch.optim.Optimizer, steps: int, warmup: int) -> LRScheduler:
    if not warmup:
        return CosineAnnealingLR(optimizer, steps)
    rise = LinearLR(optimizer, 1.0 / warmup, total_iters=warmup)
    return SequentialLR(optimizer, [rise, CosineAnnealingLR(optimizer, steps - warmup)], [warmup])


def accuracies(logits_NK: Tensor, labels_N: Tensor) -> tuple[float, float]:
    """Top-1 and top-5 accuracy in percent; top-K if there are K < 5 classes."""
    ranked_N5 = logits_NK.topk(min(5, logits_NK.shape[1]), dim=1).indices
    hits_N5 = ranked_N5 == labels_N[:, None]
    return 100.0 * float(hits_N5[:, 0].double().mean()), 100.0 * float(hits_N5.any(dim=1).double().mean())
