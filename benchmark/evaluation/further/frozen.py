"""Protocols on frozen features: `linear-v1` on few labels and on another dataset, and properties of scenes.

Shape suffixes: N images, D feature dimension, S strengths.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import torch

from benchmark.errors import UserError
from benchmark.evaluation.knn import knn_v1
from benchmark.evaluation.linear import linear_probe, linear_v1
from benchmark.evaluation.logistic import standardisation
from benchmark.evaluation.ridge import ridge_weights
from benchmark.randomness import generator

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.evaluation.subject import Subject

SHARES = (0.01, 0.1)
DRAWS = 5
MEASURES = ("scale", "x", "y")


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
            top1.append(probe["linear_top1"])
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


def lowlevel(subject: Subject) -> dict[str, float]:
    """Accuracy of the number of objects in percent, and R2 of scale, x and y on the test split (`shapes` knows them).

    I-JEPA reports better predictions than methods that are trained to ignore crops (2301.08243, its linear probes of
    counting and depth on CLEVR). `count_most_frequent` is the accuracy of always predicting the most frequent count. R2
    is 1 for a perfect prediction and 0 for the mean; it can be negative.

    Raises:
        UserError: the dataset has no such properties of its scenes.
    """
    data = subject.data
    missing = [name for name in ("count", *MEASURES) if name not in data.test.factors]
    if missing:
        raise UserError(
            f"lowlevel-v1 needs properties of scenes ({', '.join(missing)}), which {subject.dataset.name} does not "
            "have; take shapes (--dataset shapes)"
        )
    features = [subject.train[0], subject.validation[0], subject.test[0]]
    factors = [split.factors for split in (data.train, data.validation, data.test)]
    counts = [values["count"].long() - 1 for values in factors]
    numbers = max(int(part.max()) for part in counts) + 1
    train, validation, test = zip(features, counts, strict=True)
    probe = linear_probe(train, validation, test, numbers, device=subject.device)
    frequent = int(counts[0].bincount(minlength=numbers).argmax())
    scores = {
        "count_top1": probe["linear_top1"],
        "count_most_frequent": 100.0 * float((counts[2] == frequent).double().mean()),
    }
    for name in MEASURES:
        targets = [values[name].double() for values in factors]
        scores[f"{name}_r2"] = ridge_r2(*zip(features, targets, strict=True))
    return scores


def ridge_r2(train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """R2 on the test split of a ridge regression whose strength is chosen on the validation split.

    The objective is mean squared error / 2 + strength / 2 * |w|^2 on standardised features, with `linear-v1`'s
    strengths; its minimum is computed in closed form. Each split has features `(N, D)` and values `(N,)`.
    """
    mean_D, scale_D = standardisation(train[0])

    def standard(features_ND: Tensor) -> Tensor:
        centred_ND: Tensor = features_ND.double() - mean_D
        return centred_ND / scale_D

    inputs_ND, centre = standard(train[0]), train[1].double().mean()
    products_D = inputs_ND.T @ (train[1].double() - centre)
    weights_DS = ridge_weights(inputs_ND.T @ inputs_ND / len(inputs_ND), products_D, len(inputs_ND))

    def r2(part: tuple[Tensor, Tensor]) -> Tensor:
        errors_NS = standard(part[0]) @ weights_DS + centre - part[1].double()[:, None]
        share_S: Tensor = errors_NS.square().mean(dim=0) / part[1].double().var(unbiased=False)
        return 1.0 - share_S

    best = int(r2(validation).argmax())
    return float(r2(test)[best])
