"""`linear-v1`: multinomial logistic regression on frozen features, its strength chosen on the validation split.

`logistic.py` says what is minimised, and how.

Shape suffixes: N images, D feature dimension, K classes, S strengths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmark.evaluation.features import CHUNK_ROWS, check_features, check_labels, full_precision
from benchmark.evaluation.logistic import STRENGTHS, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.evaluation.logistic import LinearFit
    from benchmark.evaluation.subject import FrozenSubject, Labelled

_CPU = torch.device("cpu")


def linear_v1(subject: FrozenSubject) -> dict[str, float]:
    """The protocol: `linear_probe` with the standard strengths, on the subject's split."""
    test = subject.test if subject.split == "test" else None
    subject.watch("linear classifiers", 0)
    classes, device = subject.data.num_classes, subject.device
    _check(subject.train, subject.validation, test, classes)
    return _chosen(subject.linear_fit, STRENGTHS, subject.validation, test, device)


def linear_probe(
    train: Labelled,
    validation: Labelled,
    test: Labelled | None,
    num_classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    device: torch.device = _CPU,
) -> dict[str, float]:
    """Fits every strength on `train`, chooses one on `validation`, scores it on `test`.

    Each split has features `(N, D)` and labels `(N,)`. Of equally good strengths the largest is chosen.

    Returns:
        `linear_strength`, and `linear_top1` in percent. With a test split, `linear_top1` is of that one, and there are
        `linear_top5` (top-K where there are K < 5 classes) and `linear_validation_top1` as well.

    Raises:
        ValueError: features are empty or not finite, labels or strengths do not fit.
    """
    _check(train, validation, test, num_classes)
    return _chosen(fit(*train, num_classes, strengths, device=device), strengths, validation, test, device)


def _check(train: Labelled, validation: Labelled, test: Labelled | None, num_classes: int) -> None:
    parts = {"training": train, "validation": validation} | ({} if test is None else {"test": test})
    for name, part in parts.items():
        check_features(part[0], f"{name} features")
        check_labels(*part, num_classes, f"{name} features")
        if part[0].shape[1] != train[0].shape[1]:
            raise ValueError(f"{name} features have dimension {part[0].shape[1]}, training {train[0].shape[1]}")


def _chosen(
    solution: LinearFit,
    strengths: Sequence[float],
    validation: Labelled,
    test: Labelled | None,
    device: torch.device,
) -> dict[str, float]:
    """The scores of the strength that `validation` chooses; see `linear_probe`."""
    correct_S = (_ranks(solution, range(len(strengths)), *validation, device) == 0).sum(dim=1).tolist()
    best = max(range(len(strengths)), key=lambda index: (correct_S[index], strengths[index]))
    validation_top1 = 100.0 * correct_S[best] / len(validation[1])
    if test is None:
        return {"linear_top1": validation_top1, "linear_strength": strengths[best]}
    ranks_N = _ranks(solution, [best], *test, device)[0]
    scores = {f"linear_top{top}": 100.0 * int((ranks_N < top).sum()) / len(ranks_N) for top in (1, 5)}
    return {**scores, "linear_strength": strengths[best], "linear_validation_top1": validation_top1}


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
