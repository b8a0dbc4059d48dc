"""Our methods against the losses that stable-pretraining publishes for its own ones, in the same set-up.

Source of the set-up and the numbers: stable-pretraining (MIT), `tests/regression/test_methods.py`, captured by its
authors on 2026-04-09. 32 images of noise, 8 a step, each view with a little noise of its own; a convolution of 16
channels, its mean and a linear layer of 64; Adam with 0.001 and a cosine to 0; all drawn from seed 42, the images
from seed 0.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from methods.backbone_spec import BackboneSpec
from methods.backbones import Backbone
from methods.base import Batch, Method, Step, Task
from methods.registry import method_class

# The mean loss of the four training steps; of `supervised` the loss of the second validation batch after them.
PUBLISHED = {
    "simclr": 1.645321011543274,
    "byol": 1.822302222251892,
    "vicreg": 18.119741439819336,
    "barlow_twins": 1.7105509042739868,
    "supervised": 2.3338754177093506,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "simclr": {"temperature": 0.5},
    "byol": {"ema": {"start": 0.996, "end": 0.996}},
    "vicreg": {"invariance_weight": 25.0, "covariance_weight": 1.0},
    "barlow_twins": {"scale": 1.0},
}
TOLERANCE = 1e-5
STEPS, BATCH, CLASSES, FEATURES, PROJECTED = 4, 8, 10, 64, 32
IMAGES = STEPS * BATCH


class TinyCNN(Backbone):
    """The set-up's network; it has no map, only a vector."""

    pooling = "a linear layer on the global average"

    def __init__(self) -> None:
        mean = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), *mean, nn.Linear(16, FEATURES))
        super().__init__(BackboneSpec(name="resnet18"), net, FEATURES)

    def feature_map(self, images: Tensor) -> Tensor:
        return self.features(images)[:, :, None, None]

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.net(images)
        return features


def _head(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, PROJECTED))


def _images(count: int) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 32, 32, generator=generator)
    return images, torch.randint(0, CLASSES, (count,), generator=generator), generator


def _build(name: str) -> Method[Any]:
    """The method on the set-up's network and heads, drawn in the set-up's order."""
    torch.manual_seed(42)
    backbone = TinyCNN()
    heads: dict[str, nn.Module] = {}
    if name == "supervised":
        heads["classifier"] = nn.Linear(FEATURES, CLASSES)
    else:
        heads["projector"] = _head(FEATURES)
    if name == "byol":
        heads["predictor"] = _head(PROJECTED)
        heads["target_projector"] = copy.deepcopy(heads["projector"]).requires_grad_(False)
    cls = method_class(name)
    method = cls(cls.config_class.model_validate(SETTINGS.get(name, {})), backbone, Task(32, CLASSES))
    for attribute, head in heads.items():
        setattr(method, attribute, head)
    if name == "barlow_twins":
        # They divide by the unbiased standard deviation, as the paper's listing does; ours as the authors' code.
        method.criterion = _Unbiased()
    return method.train()


class _Unbiased(nn.Module):
    """Equation 1 of Barlow Twins with lambda 0.005, from correlations by the unbiased standard deviation."""

    def forward(self, first_BD: Tensor, second_BD: Tensor) -> Tensor:
        first, second = ((z - z.mean(dim=0)) / (z.std(dim=0) + 1e-5) for z in (first_BD, second_BD))
        correlation = first.T @ second / len(first)
        diagonal = correlation.diagonal()
        rest = correlation - torch.diag(diagonal)
        return (diagonal - 1).square().sum() + 0.005 * rest.square().sum()


def _loss(method: Method[Any], views: tuple[Tensor, ...], labels: Tensor, index: int = 0) -> Tensor:
    step = Step(index / STEPS, index, torch.Generator().manual_seed(0), pace=1 / STEPS)
    loss = method(Batch(views, labels, torch.arange(len(labels))), step).loss
    # BYOL's published loss is |p - z|^2 of unit vectors; ours is their negative cosine.
    return 2 + 2 * loss if method.name == "byol" else loss


def _train(method: Method[Any]) -> list[float]:
    images, labels, generator = _images(IMAGES)
    noise = [0.1 * torch.randn(images.shape, generator=generator) for _ in range(2)]
    optimizer = torch.optim.Adam((p for p in method.parameters() if p.requires_grad), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    losses = []
    for index in range(STEPS):
        own = slice(BATCH * index, BATCH * (index + 1))
        views = tuple(images[own] + extra[own] for extra in noise)
        loss = _loss(method, views if method.view_count == 2 else (images[own],), labels[own], index)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        method.after_step(Step(index / STEPS, index, torch.Generator(), pace=1 / STEPS))
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["simclr", "byol", "vicreg", "barlow_twins"])
def test_losses_of_an_epoch_are_stable_pretrainings(name: str) -> None:
    losses = _train(_build(name))
    assert sum(losses) / STEPS == pytest.approx(PUBLISHED[name], abs=TOLERANCE)


def test_supervised_training_validates_as_stable_pretrainings() -> None:
    method = _build("supervised")
    _train(method)
    images, labels, _ = _images(2 * BATCH)
    with torch.no_grad():
        loss = _loss(method.eval(), (images[BATCH:],), labels[BATCH:])
    assert loss.item() == pytest.approx(PUBLISHED["supervised"], abs=TOLERANCE)
