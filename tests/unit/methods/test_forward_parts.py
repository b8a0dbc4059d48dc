"""What a breakdown of a step tells apart within a method's forward pass."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.training.profile import marked
from methods.backbones import BackboneSpec, build_backbone
from methods.base import Batch, Encoder, LossOutput, Method, Step, Task
from methods.config import MethodConfig
from methods.views import ViewSpec

# How often a step calls encoder, target encoder and heads.
CALLS = [
    ("simclr", "cnn", {}, (2, 0, 2)),
    ("simclr", "vit", {}, (2, 0, 2)),
    ("vicreg", "cnn", {}, (2, 0, 2)),
    ("byol", "cnn", {}, (2, 2, 6)),
    ("supervised", "cnn", {}, (1, 0, 1)),
    ("ijepa", "vit", {}, (1, 1, 1)),
    ("ijepa", "vit", {"projection_dim": 16, "cycle_weight": 1.0}, (1, 1, 4)),
    ("cnn_jepa", "cnn", {}, (1, 1, 1)),
    ("cnn_jepa", "cnn", {"encoder": "masked_dense"}, (1, 1, 1)),
    ("cnn_jepa", "cnn", {"projection_dim": 16, "cycle_weight": 1.0}, (1, 1, 4)),
]


def _own(method: Any) -> list[dict[str, Any]]:
    """What the modules have of their own, those that lie in no module, too."""
    named = [module for modules in method.forward_parts().values() for module in modules]
    return [{**vars(module)} for module in [*method.modules(), *named]]


@pytest.mark.parametrize(("name", "kind", "settings", "calls"), CALLS)
def test_encoders_and_heads_are_told_apart(
    lab: Any, name: str, kind: str, settings: dict[str, Any], calls: tuple[int, int, int]
) -> None:
    method = lab.build(name, kind, **settings)
    before = _own(method)
    batch, marks = lab.batch(method), []
    with marked(method, marks.append):
        loss = method(batch, lab.step()).loss
        count = len(marks)
        method.backbone.features(batch.views[0])  # outside the forward pass
        assert len(marks) == count
    counts = Counter(marks)
    assert set(marks[::2]) == {"loss"} and "loss" not in marks[1::2]  # before each call, what lies between is marked
    assert tuple(counts[part] for part in ("encoder", "target_encoder", "head")) == calls
    assert _own(method) == before
    assert torch.equal(loss, lab.build(name, kind, **settings)(batch, lab.step()).loss)


def test_a_call_that_fails_leaves_the_modules_as_they_were(lab: Any) -> None:
    method = lab.build("cnn_jepa", "cnn")
    before = _own(method)
    with pytest.raises(ZeroDivisionError), marked(method, lambda part: 1 // 0):
        method(lab.batch(method), lab.step())
    assert _own(method) == before


class _Head(nn.Module):
    """As torchvision's networks: `features` is a layer; and `tokens` a number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features, self.tokens = nn.Linear(width, 4), 3

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.features(x)
        return found


class _Foreign(Method[MethodConfig]):
    """A method of a plug-in: heads in a container, a target handed over around its network, a call of the network."""

    name = "foreign"
    config_class = MethodConfig

    def __init__(self, config: MethodConfig, backbone: Any, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.heads = nn.ModuleList([_Head(backbone.dimension), _Head(backbone.dimension)])
        self.teacher = copy.deepcopy(backbone.net)
        self.everything = nn.ModuleDict({"a": nn.Sequential(backbone), "b": nn.ReLU()})

    def encoders(self) -> dict[str, Encoder]:
        return {**super().encoders(), "ema": Encoder(self.backbone.with_net(self.teacher), self._info("ema"))}

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        student = self.backbone.net(batch.views[0]).mean((2, 3))
        target = self.teacher(batch.views[0]).mean((2, 3))
        return LossOutput((self.heads[0](student) - self.heads[1](target)).square().mean())


def test_other_ways_to_build_a_method(lab: Any) -> None:
    backbone = build_backbone(BackboneSpec(name="resnet18", stem="small", width=8), 32)
    method = _Foreign(MethodConfig(views=(ViewSpec(),)), backbone, Task(32, 4))
    method.heads[1].forward = method.heads[1].forward  # its own, such as a compiler sets
    before, marks = _own(method), []
    with marked(method, marks.append):
        method(lab.batch(method), lab.step()).loss.backward()
    assert Counter(marks) == {"loss": 4, "encoder": 1, "target_encoder": 1, "head": 2}
    assert _own(method) == before
