"""The check that methods' own tests call: ours pass it, and each way to break the contract is named."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import MethodConfig
from methods.contract import SMALL, build_method, check_method, train
from methods.registry import method_class, own_methods
from methods.views import ViewSpec

_NARROW: dict[str, dict[str, Any]] = {
    "byol": {"projector_hidden": 64, "predictor_hidden": 64, "output_dim": 32},
    "vicreg": {"projector_hidden": 64, "output_dim": 64},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in own_methods() if method_class(name).trainable])
def test_our_methods_keep_the_contract(name: str) -> None:
    check_method(method_class(name), _NARROW.get(name))


@pytest.mark.slow
@pytest.mark.parametrize("token", ["features", "beside"])
@pytest.mark.parametrize("name", ["simclr", "ijepa", "dino", "ibot", "msn", "mae", "data2vec"])
def test_so_do_they_on_a_vit_with_a_class_token(name: str, token: str) -> None:
    vit = SMALL["vit"].model_copy(update={"class_token": token})
    check_method(method_class(name), _NARROW.get(name), backbones={"vit": vit})


class _Config(MethodConfig):
    views: tuple[ViewSpec, ...] = (ViewSpec(), ViewSpec(size=16))


class _Good(Method[_Config]):
    """Pulls the features of two views, of different sizes, together."""

    name = "good"
    config_class = _Config
    backbone_kinds: ClassVar[tuple[str, ...]] = ("cnn", "vit")

    def __init__(self, config: _Config, backbone: Any, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.head = nn.Linear(backbone.dimension, 8)

    def features(self, batch: Batch) -> list[Tensor]:
        return [self.head(self.backbone.features(view)).float() for view in batch.views]

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        first, second = self.features(batch)
        return LossOutput((first - second + 0.1 * torch.randn(8, generator=step.generator)).square().mean())


class _GlobalDraws(_Good):
    def loss(self, batch: Batch, step: Step) -> LossOutput:
        return LossOutput(sum(self.features(batch)).square().mean() + torch.rand(()))  # type: ignore[union-attr,arg-type]


class _HalfPrecision(_Good):
    def loss(self, batch: Batch, step: Step) -> LossOutput:
        first, second = (self.head(self.backbone.features(view)) for view in batch.views)
        return LossOutput((first - second).square().mean())


class _Unused(_Good):
    def __init__(self, config: _Config, backbone: Any, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.spare = nn.Linear(2, 2)


class _Forgetful(_Good):
    centre: Any = 0.0  # no buffer

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        first, second = self.features(batch)
        return LossOutput((first - second - self.centre).square().mean())

    def after_step(self, step: Step) -> None:
        self.centre = self.centre + 0.5


class _Miscounted(_Good):
    @classmethod
    def encoder_passes(cls, config: Any) -> tuple[int, ...]:
        return (1,)


class _Ungrouped(_Good):
    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.head.parameters()), "decay": True}]


class _Endless(_Good):
    def loss(self, batch: Batch, step: Step) -> LossOutput:
        first, second = self.features(batch)
        return LossOutput((first - second).square().mean() / 0.0)


def test_a_method_that_keeps_it_passes_and_learns() -> None:
    check_method(_Good)
    losses = train(build_method(_Good, SMALL["cnn"], {}), 10)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (_GlobalDraws, "good on resnet18: draws from torch's global generator"),
        (_HalfPrecision, "the loss is torch.bfloat16 under autocast"),
        (_Unused, "no gradient reaches spare.weight, spare.bias"),
        (_Forgetful, "state_dict does not hold everything"),
        (_Miscounted, "encoder_passes has 1 of 2 views"),
        (_Ungrouped, "parameter_groups does not hold each trained parameter once"),
        (_Endless, "the first loss is"),
    ],
)
def test_each_way_to_break_it_is_named(kind: type[Method[Any]], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_method(kind)
