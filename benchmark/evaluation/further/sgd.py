"""Linear classifiers trained by gradient descent: the field's usual probe, and that of CNN-JEPA's repository.

Entries are ranked by `linear-v1`, which needs neither a learning rate nor a schedule. These protocols exist because
published numbers were measured with them.

Shape suffixes: B images, N images, D feature dimension, K classes, H heads.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.evaluation.features import check_features, full_precision
from benchmark.evaluation.further.training import Descent, accuracies, descend
from benchmark.randomness import seeded
from methods.views import ViewSpec

if TYPE_CHECKING:
    from benchmark.evaluation.subject import Subject

# Multiples of batch / 256; one head each, all trained on the same features at once.
LEARNING_RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SGD = Descent(epochs=100, batch_size=256, view=ViewSpec(crop_scale=(0.08, 1.0)))
ADAM_EPOCHS, ADAM_BATCH, ADAM_LR = 90, 512, 1e-3


def linear_sgd(subject: Subject) -> dict[str, float]:
    """`linear-sgd-v1`: momentum 0.9, no weight decay, cosine over 100 epochs of random resized crops and flips.

    As the published probes of ResNets (2002.05709, 2006.07733 and lightly's benchmarks, with 90 or 100 epochs); several
    learning rates at once, of which the validation split chooses one after the last epoch.
    """
    heads = _heads(subject, len(LEARNING_RATES))
    batch = SGD.batch(len(subject.data.train))
    groups = [
        {"params": list(head.parameters()), "lr": lr * batch / 256}
        for head, lr in zip(heads, LEARNING_RATES, strict=True)
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    subject.encoder.eval()

    def loss(images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        with torch.no_grad(), full_precision():
            features_BD = subject.encoder.features(images_BCHW).float()
        # Heads share no weights: the gradient of the sum is that of each loss.
        return torch.stack([F.cross_entropy(head(features_BD), labels_B) for head in heads]).sum()

    descend(subject, SGD, optimizer, loss, "linear-sgd-v1")
    validation = [_top(head, subject.validation, subject.device)[0] for head in heads]
    best = max(range(len(heads)), key=lambda index: validation[index])
    top1, top5 = _top(heads[best], subject.test, subject.device)
    return {
        "linear_sgd_top1": top1,
        "linear_sgd_top5": top5,
        "linear_sgd_validation_top1": validation[best],
        "linear_sgd_lr": LEARNING_RATES[best] * batch / 256,
    }


def linear_cnnjepa(subject: Subject) -> dict[str, float]:
    """`linear-cnnjepa`: Adam 1e-3 on cached features in a fixed order, batch 512, 90 epochs, the last one reported.

    Source: CNN-JEPA's repository (its linear evaluation), without its choice of the best epoch on the test split.
    """
    head = _heads(subject, 1)[0]
    features_ND, labels_N = (part.to(subject.device) for part in subject.train)
    check_features(features_ND, "training features")
    optimizer = torch.optim.Adam(head.parameters(), lr=ADAM_LR)
    batches = list(zip(torch.split(features_ND, ADAM_BATCH), torch.split(labels_N, ADAM_BATCH), strict=True))
    with full_precision():
        for rows, labels in batches * ADAM_EPOCHS:
            loss = F.cross_entropy(head(rows), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    top1, top5 = _top(head, subject.test, subject.device)
    return {"linear_cnnjepa_top1": top1, "linear_cnnjepa_top5": top5}


def _heads(subject: Subject, count: int) -> list[nn.Linear]:
    """Identical classifiers with torch's initialisation, drawn with the run's seed."""
    with seeded(subject.seed, "probe head"):
        head = nn.Linear(subject.encoder.info.dimension, subject.data.num_classes).to(subject.device)
    return [copy.deepcopy(head) for _ in range(count)]


@torch.no_grad()
def _top(head: nn.Linear, part: tuple[Tensor, Tensor], device: torch.device) -> tuple[float, float]:
    with full_precision():
        logits_NK = torch.cat([head(rows.to(device)).cpu() for rows in torch.split(part[0], 4096)])
    return accuracies(logits_NK, part[1])
