"""`knn-v1`: classification by a weighted vote of the nearest neighbours in a bank of features.

Cosine similarity, votes weighted by exp(similarity / temperature) (Wu et al., 1805.01978, section 3.4). `knn20` has
temperature 0.07, `knn200` has 0.1. k is capped at the size of the smallest class in the bank: with a larger
k, even perfect features could not fill all neighbours from that class. Ties of similarity go by index in the bank, ties
of votes to the lower class.

Shape suffixes: N vectors of the bank, Q queries, D feature dimension, k neighbours, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.evaluation.features import check_features, check_labels, full_precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmark.evaluation.subject import FrozenSubject, Labelled

    Settings = Mapping[str, tuple[int, float]]

KNN_SETTINGS: Settings = {"knn20": (20, 0.07), "knn200": (200, 0.1)}
_CHUNK_ELEMENTS = 2**23
_CPU = torch.device("cpu")


def knn_v1(subject: FrozenSubject) -> dict[str, float]:
    """The protocol: `knn20` and `knn200` of the subject's split in percent, with the train split as the bank."""
    queries = subject.test if subject.split == "test" else subject.validation
    subject.watch("nearest neighbours", 0)
    return knn_scores(subject.train, queries, subject.data.num_classes, device=subject.device)


def knn_scores(
    bank: Labelled,
    queries: Labelled,
    num_classes: int,
    settings: Settings = KNN_SETTINGS,
    *,
    device: torch.device = _CPU,
) -> dict[str, float]:
    """Accuracies of the weighted votes in percent, from one computation of the similarities.

    Args:
        bank: features `(N, D)` and labels `(N,)` that vote.
        queries: features `(Q, D)` and labels `(Q,)` to predict.
        settings: the score's name, and its k (before the cap) and temperature.

    Raises:
        ValueError: features are empty or not finite, labels do not fit, or k or a temperature is not positive.
    """
    for (features, labels), what in ((bank, "kNN bank"), (queries, "kNN queries")):
        check_features(features, what)
        check_labels(features, labels, num_classes, what)
    for k, temperature in settings.values():
        if k < 1 or temperature <= 0:
            raise ValueError(f"kNN needs a positive k and temperature, not {k} and {temperature}")
    counts_K = bank[1].bincount(minlength=num_classes)
    cap = int(counts_K[counts_K > 0].min())
    largest = min(cap, max(k for k, _ in settings.values()))
    correct = dict.fromkeys(settings, 0)
    bank_ND = F.normalize(bank[0].to(device), dim=1)
    rows = max(1, _CHUNK_ELEMENTS // len(bank_ND))
    with full_precision():
        for queries_QD, labels_Q in zip(torch.split(queries[0], rows), torch.split(queries[1], rows), strict=True):
            similarities_QN = F.normalize(queries_QD.to(device), dim=1) @ bank_ND.T
            nearest_Qk, indices_Qk = (part.cpu() for part in nearest_neighbours(similarities_QN, largest))
            for name, (k, temperature) in settings.items():
                kept = min(k, cap)
                votes_Qk = bank[1][indices_Qk[:, :kept]]
                predicted_Q = _vote(nearest_Qk[:, :kept], votes_Qk, num_classes, temperature)
                correct[name] += int((predicted_Q == labels_Q).sum())
    return {name: 100.0 * count / len(queries[1]) for name, count in correct.items()}


def nearest_neighbours(similarities_QN: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest similarities `(Q, k)` in descending order, ties in the bank's order, and their indices in it."""
    width = min(k + 1, similarities_QN.shape[1])
    values, indices = similarities_QN.topk(width, dim=1)
    indices_Qk = indices[:, :k].clone()
    if width > k:
        # It is not specified which of several equal similarities `topk` takes; such queries are computed again.
        tied = (values[:, k - 1] == values[:, k]).nonzero().squeeze(1)
        if len(tied):
            indices_Qk[tied] = _first_of_equals(similarities_QN[tied], values[tied, k - 1], k)
    indices_Qk = indices_Qk.sort(dim=1).values
    nearest_Qk, order_Qk = similarities_QN.gather(1, indices_Qk).sort(dim=1, descending=True, stable=True)
    return nearest_Qk, indices_Qk.gather(1, order_Qk)


def _first_of_equals(similarities_QN: Tensor, threshold_Q: Tensor, k: int) -> Tensor:
    above_QN = similarities_QN > threshold_Q[:, None]
    equal_QN = similarities_QN == threshold_Q[:, None]
    open_Q = k - above_QN.sum(dim=1, keepdim=True)
    kept_QN = above_QN | (equal_QN & (equal_QN.cumsum(dim=1) <= open_Q))
    return kept_QN.nonzero()[:, 1].view(-1, k)


def _vote(similarities_Qk: Tensor, votes_Qk: Tensor, num_classes: int, temperature: float) -> Tensor:
    """The class with the largest vote `(Q,)`; on the CPU in float64, where the order of the sums is fixed."""
    descending_Qk = similarities_Qk.double()
    # Relative to the nearest neighbour, so that a small temperature cannot overflow.
    weights_Qk = ((descending_Qk - descending_Qk[:, :1]) / temperature).exp()
    sums_QK = weights_Qk.new_zeros(len(weights_Qk), num_classes).scatter_add_(1, votes_Qk, weights_Qk)
    return sums_QK.argmax(dim=1)
