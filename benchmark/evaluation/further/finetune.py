"""`finetune-v1`: the whole network fine-tuned with labels. Shape suffixes: B images, N images, K classes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.evaluation.features import evaluation_mode
from benchmark.evaluation.further.training import Descent, accuracies, descend
from benchmark.randomness import seeded
from methods.base import split_by_decay
from methods.views import ViewSpec

if TYPE_CHECKING:
    from benchmark.data.datasets import Split
    from benchmark.evaluation.subject import Subject

LEARNING_RATES = (1e-4, 1e-3)
WEIGHT_DECAY = 0.05
DESCENT = Descent(epochs=20, batch_size=128, view=ViewSpec(crop_scale=(0.2, 1.0)), warmup=0.1)


class _Classifier(nn.Module):
    """A copy of the encoder with a new head. The head starts at zero, so that the first steps change it alone."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(subject.encoder).requires_grad_(True)
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad_("pos_embed" not in name)  # fixed positions stay fixed
        with seeded(subject.seed, "finetune head"):
            self.head = nn.Linear(subject.encoder.info.dimension, subject.data.num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.encoder.features(images_BCHW).float())
        return logits_BK


def finetune(subject: Subject) -> dict[str, float]:
    """Test top-1 and top-5 of the whole network after 20 epochs with labels, in percent.

    AdamW with weight decay 0.05 (not on norms and biases), random resized crops (0.2 to 1) and flips, batch 128,
    warm-up over a tenth, cosine. Trained once with each of two learning rates, of which the validation split chooses
    one. The settings are ours, and the same for every entry.
    """
    candidates: list[tuple[float, float, _Classifier]] = []
    for lr in LEARNING_RATES:
        network = _Classifier(subject).to(subject.device)
        _train(subject, network, lr)
        logits_NK = _logits(subject, network, subject.data.validation)
        candidates.append((accuracies(logits_NK, subject.data.validation.labels.cpu())[0], lr, network))
    validation, lr, network = max(candidates, key=lambda candidate: candidate[0])
    top1, top5 = accuracies(_logits(subject, network, subject.data.test), subject.data.test.labels.cpu())
    return {"finetune_top1": top1, "finetune_top5": top5, "finetune_validation_top1": validation, "finetune_lr": lr}


def _train(subject: Subject, network: _Classifier, lr: float) -> None:
    groups = split_by_decay(network.named_parameters(), everything=False)
    prepared = [{"params": part["params"], "weight_decay": WEIGHT_DECAY if part["decay"] else 0.0} for part in groups]
    optimizer = torch.optim.AdamW(prepared, lr=lr, fused=True)
    autocast = torch.autocast(subject.device.type, dtype=torch.bfloat16, enabled=subject.precision == "bf16")
    network.train()

    def loss(images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        with autocast:
            return F.cross_entropy(network(images_BCHW).float(), labels_B)

    descend(subject, DESCENT, optimizer, loss, "finetune-v1")


@torch.no_grad()
def _logits(subject: Subject, network: _Classifier, split: Split) -> Tensor:
    logits = []
    with evaluation_mode(network):
        for indices in torch.split(torch.arange(len(split)), 512):
            images_BCHW = subject.data.normalise(split.images.read(indices).to(subject.device))
            logits.append(network(images_BCHW).cpu())
    return torch.cat(logits)
