"""`linear-v1`: multinomial logistic regression on frozen features, its strength chosen on the validation split.

`logistic.py` says what is minimised, and how.

Shape suffixes: N images, D feature dimension, K classes, S strengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmark.evaluation.features import CHUNK_ROWS, check_features, check_labels, full_precision
from benchmark.evaluation.logistic import STRENGTHS, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.evaluation.logistic import LinearFit
    from benchmark.evaluation.subject import FrozenSubject

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class LinearResult:
    """The probe's accuracies in percent.

    Attributes:
        strength: chosen on the validation split; of equally good ones the largest.
        validation_top1: at that strength.
        test_top1: at that strength; None if there was no test split.
        test_top5: likewise; top-K where there are K < 5 classes.
    """

    strength: float
    validation_top1: float
    test_top1: float | None = None
    test_top5: float | None = None


def linear_v1(subject: FrozenSubject) -> dict[str, float]:
    """The protocol: `linear_top1` in percent and `linear_strength`, on the subject's split.

    On the test split, `linear_top5` and `linear_validation_top1` as well.
    """
    test = subject.test if subject.split == "test" else None
    result = linear_probe(subject.train, subject.validation, test, subject.data.num_classes, device=subject.device)
    if result.test_top1 is None or result.test_top5 is None:
        return {"linear_top1": result.validation_top1, "linear_strength": result.strength}
    return {
        "linear_top1": result.test_top1,
        "linear_top5": result.test_top5,
        "linear_strength": result.strength,
        "linear_validation_top1": result.validation_top1,
    }


def linear_probe(
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor] | None,
    num_classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    device: torch.device = _CPU,
) -> LinearResult:
    """Fits every strength on `train`, chooses one on `validation`, scores it on `test`.

    Args:
        train: features `(N, D)` and labels `(N,)`.
        validation: likewise; the strength is chosen on it.
        test: likewise; None during training, where only the validation split is scored.
        num_classes: K.
        strengths: of the penalty, all positive.
        device: where the passes over the features run.

    Raises:
        ValueError: features are empty or not finite, labels or strengths do not fit.
    """
    parts = {"training": train, "validation": validation, "test": test}
    for name, part in parts.items():
        if part is not None:
            check_features(part[0], f"{name} features")
            check_labels(*part, num_classes, f"{name} features")
            if part[0].shape[1] != train[0].shape[1]:
                raise ValueError(f"{name} features have dimension {part[0].shape[1]}, training {train[0].shape[1]}")
    solution = fit(*train, num_classes, strengths, device=device)
    correct_S = (_ranks(solution, range(len(strengths)), *validation, device) == 0).sum(dim=1).tolist()
    best = max(range(len(strengths)), key=lambda index: (correct_S[index], strengths[index]))
    validation_top1 = 100.0 * correct_S[best] / len(validation[1])
    if test is None:
        return LinearResult(strengths[best], validation_top1)
    ranks_N = _ranks(solution, [best], *test, device)[0]
    top1, top5 = (100.0 * int((ranks_N < top).sum()) / len(ranks_N) for top in (1, 5))
    return LinearResult(strengths[best], validation_top1, top1, top5)


@torch.no_grad()
def _ranks(
    solution: LinearFit, which: Sequence[int], features_ND: Tensor, labels_N: Tensor, device: torch.device
) -> Tensor:
    """How many classes score above the true one `(S, N)`; of equal scores the lower class counts as above."""
    chosen = list(which)
    weights = solution.weights_SKD[chosen].to(device, torch.float32)
    bias = solution.bias_SK[chosen].to(device, torch.float32)
    ranks = []
    with full_precision():
        for rows, labels in zip(torch.split(features_ND, CHUNK_ROWS), torch.split(labels_N, CHUNK_ROWS), strict=True):
            standard = ((rows.double() - solution.mean_D) / solution.scale_D).to(device, torch.float32)
            scores_SKN = weights @ standard.T + bias[..., None]
            true_SN = labels.to(device).expand(len(chosen), 1, -1)
            own_SN = scores_SKN.gather(1, true_SN)
            classes_K1 = torch.arange(scores_SKN.shape[1], device=device)[:, None]
            ahead = (scores_SKN > own_SN) | ((scores_SKN == own_SN) & (classes_K1 < true_SN))
            ranks.append(ahead.sum(dim=1).cpu())
    return torch.cat(ranks, dim=1)
