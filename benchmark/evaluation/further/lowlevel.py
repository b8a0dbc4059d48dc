"""`lowlevel-v1`: how well frozen features predict properties of a scene beyond its class.

I-JEPA reports better predictions than methods that are trained to ignore crops (2301.08243, its linear probes of
counting and depth on CLEVR). `shapes` has the number, size and position of the objects in each scene.

Shape suffixes: N images, D feature dimension, S strengths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmark.errors import UserError
from benchmark.evaluation.linear import linear_probe
from benchmark.evaluation.logistic import STRENGTHS, standardisation

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.datasets import Split
    from benchmark.evaluation.subject import Subject

MEASURES = ("scale", "x", "y")


def lowlevel(subject: Subject) -> dict[str, float]:
    """Accuracy of the number of objects in percent, and R2 of scale, x and y on the test split.

    `count_most_frequent` is the accuracy of always predicting the most frequent count. R2 is 1 for a perfect
    prediction and 0 for the mean; it can be negative.

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
    features = {"train": subject.train[0], "validation": subject.validation[0], "test": subject.test[0]}
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    counts = {name: split.factors["count"].long() - 1 for name, split in splits.items()}
    numbers = int(max(int(part.max()) for part in counts.values())) + 1
    parts = [(features[name], counts[name]) for name in splits]
    probe = linear_probe(parts[0], parts[1], parts[2], numbers, device=subject.device)
    assert probe.test_top1 is not None
    frequent = int(counts["train"].bincount(minlength=numbers).argmax())
    scores = {
        "count_top1": probe.test_top1,
        "count_most_frequent": 100.0 * float((counts["test"] == frequent).double().mean()),
    }
    for name in MEASURES:
        scores[f"{name}_r2"] = ridge_r2(*((features[part], _values(split, name)) for part, split in splits.items()))
    return scores


def _values(split: Split, name: str) -> Tensor:
    return split.factors[name].double()


def ridge_r2(train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """R2 on the test split of a ridge regression whose strength is chosen on the validation split.

    The objective is mean squared error / 2 + strength / 2 * |w|^2 on standardised features, with `linear-v1`'s
    strengths; its minimum is computed in closed form.

    Args:
        train: features `(N, D)` and values `(N,)`.
        validation: likewise.
        test: likewise.
    """
    mean_D, scale_D = standardisation(train[0])

    def standard(features_ND: Tensor) -> Tensor:
        centred_ND: Tensor = features_ND.double() - mean_D
        return centred_ND / scale_D

    inputs_ND, centre = standard(train[0]), train[1].double().mean()
    values_D, basis_DD = torch.linalg.eigh(inputs_ND.T @ inputs_ND / len(inputs_ND))
    along_D = basis_DD.T @ (inputs_ND.T @ (train[1].double() - centre)) / len(inputs_ND)
    strengths_S = torch.tensor(STRENGTHS, dtype=torch.float64)
    weights_DS = basis_DD @ (along_D[:, None] / (values_D.clamp_min(0.0)[:, None] + strengths_S))

    def r2(part: tuple[Tensor, Tensor]) -> Tensor:
        errors_NS = standard(part[0]) @ weights_DS + centre - part[1].double()[:, None]
        share_S: Tensor = errors_NS.square().mean(dim=0) / part[1].double().var(unbiased=False)
        return 1.0 - share_S

    best = int(r2(validation).argmax())
    return float(r2(test)[best])
