"""Networks and comparisons shared by the tests of the encoders."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
from torch import Tensor, nn

from cnn_jepa import MaskedDenseEncoder, SparseEncoder
from methods.backbone_build import build_backbone

if TYPE_CHECKING:
    from collections.abc import Callable

    from methods.backbones import BackboneSpec


def build(spec: BackboneSpec | None, size: int) -> nn.Module:
    """A backbone's network with fresh weights; None: a small ConvNeXt, as float64 makes the real one slow."""
    torch.manual_seed(0)
    if spec is not None:
        return build_backbone(spec, size).net
    small = {"depths": (1, 1, 2, 1), "dims": (16, 32, 64, 128), "ls_init_value": 0.5}
    network: nn.Module = timm.create_model(
        "convnext_tiny", num_classes=0, global_pool="", head_norm_first=True, **small
    )
    return network


def awaken(network: nn.Module) -> nn.Module:
    """Sets norms to random values: they start as identities, some at zero, which would hide errors."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, 0.1, 0.5)
            if module.track_running_stats:
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.8, 1.2)
        elif isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.bias, 0.1, 0.5)
    return network


@pytest.fixture(scope="session")
def fresh_network() -> Callable[[BackboneSpec | None, int], nn.Module]:
    """Networks with their initial weights."""
    return build


@pytest.fixture(scope="session")
def make_network() -> Callable[[BackboneSpec | None, int], nn.Module]:
    """Networks whose norms are not identities."""
    return lambda spec, size: awaken(build(spec, size))


@dataclass
class Outcome:
    """The result of one encoder for images and a mask."""

    features: Tensor
    input_grad: Tensor
    grads: dict[str, Tensor]
    buffers: dict[str, Tensor]

    def error_to(self, other: Outcome) -> dict[str, float]:
        """The largest relative error of each kind."""
        pairs = {
            "features": [(self.features, other.features)],
            "input gradient": [(self.input_grad, other.input_grad)],
            "gradients": [(self.grads[name], grad) for name, grad in other.grads.items()],
            "statistics": [(self.buffers[name], value) for name, value in other.buffers.items()],
        }
        return {kind: _relative(tensors) for kind, tensors in pairs.items()}


def _relative(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """The largest ratio of the difference's norm to the expected value's norm.

    A gradient that is zero except for rounding (a bias before a batch norm) is measured against the size of the others.
    """
    sizes = [expected.double().norm().item() for _, expected in pairs]
    floor = 1e-3 * max(sizes, default=0.0)
    errors = [(got.double() - expected.double()).norm().item() for got, expected in pairs]
    return max((e / max(size, floor) if e else 0.0 for e, size in zip(errors, sizes, strict=True)), default=0.0)


@pytest.fixture(scope="session")
def outcome() -> Callable[..., Outcome]:
    """Runs a copy of a network through an encoder, forward and backward."""

    def run(
        kind: type[nn.Module], network: nn.Module, patch: int, images: Tensor, context: Any, training: bool = True
    ) -> Outcome:
        twin = copy.deepcopy(network).train(training)
        given = images.clone().requires_grad_()
        features = kind(twin, patch)(given, context)
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        (features * weights.to(features.dtype)).sum().backward()
        assert given.grad is not None
        grads = {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in twin.named_parameters()}
        return Outcome(features.detach(), given.grad, grads, dict(twin.named_buffers()))

    return run


@pytest.fixture(scope="session")
def assert_equal(outcome: Callable[..., Outcome]) -> Callable[..., None]:
    """Asserts that the sparse encoder and the masked-dense one give the same."""

    def check(
        network: nn.Module, patch: int, images: Tensor, context: Any, training: bool = True, within: float = 1e-9
    ) -> None:
        expected, got = (
            outcome(kind, network, patch, images, context, training) for kind in (MaskedDenseEncoder, SparseEncoder)
        )
        errors = got.error_to(expected)
        assert max(errors.values()) <= within, errors

    return check
