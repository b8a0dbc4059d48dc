"""`lowshot-v1` and `transfer-v1`: `linear-v1` on few labels, and on another dataset."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import torch

from benchmark.evaluation.knn import knn_v1
from benchmark.evaluation.linear import linear_probe, linear_v1
from benchmark.randomness import generator

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.evaluation.subject import Subject

SHARES = (0.01, 0.1)
DRAWS = 5


def lowshot(subject: Subject) -> dict[str, float]:
    """Test top-1 with 1% and 10% of the labels: the mean of five draws, and their standard deviation.

    The draws depend on the labels alone, so that all entries and seeds use the same images.
    """
    scores: dict[str, float] = {}
    features_ND, labels_N = subject.train
    for share in SHARES:
        top1 = []
        for number in range(DRAWS):
            chosen = few_labels(labels_N, share, number)
            few = (features_ND[chosen], labels_N[chosen])
            probe = linear_probe(few, subject.validation, subject.test, subject.data.num_classes, device=subject.device)
            assert probe.test_top1 is not None
            top1.append(probe.test_top1)
        name = f"lowshot{share * 100:g}"
        scores[f"{name}_top1"], scores[f"{name}_draws_sd"] = statistics.fmean(top1), statistics.stdev(top1)
    return scores


def few_labels(labels_N: Tensor, share: float, draw: int) -> Tensor:
    """Sorted indices of a share of every class, rounded, at least one image each; draws are independent."""
    chosen = []
    for label in torch.unique(labels_N).tolist():
        members = (labels_N == label).nonzero().squeeze(1)
        order = torch.randperm(len(members), generator=generator(0, "lowshot", draw, label))
        chosen.append(members[order[: max(1, round(share * len(members)))]])
    return torch.cat(chosen).sort().values


def transfer(subject: Subject) -> dict[str, float]:
    """`linear-v1` and `knn-v1` on the other dataset's own splits, in percent."""
    linear = linear_v1(subject)
    return {name: linear[name] for name in ("linear_top1", "linear_top5")} | knn_v1(subject)
