"""Networks and comparisons that several tests of the encoders need."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from cnn_jepa import MaskedDenseEncoder, SparseEncoder
from methods.backbones import BackboneSpec, build_backbone

if TYPE_CHECKING:
    from collections.abc import Callable


def awaken(network: nn.Module) -> nn.Module:
    """Norms start as identities, some at zero, which would hide errors: gives them values of their own."""
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
def make_network() -> Callable[[BackboneSpec, int], nn.Module]:
    def make(spec: BackboneSpec, size: int) -> nn.Module:
        torch.manual_seed(0)
        return awaken(build_backbone(spec, size).net)

    return make


@dataclass
class Outcome:
    """What one encoder made of images and mask."""

    features: Tensor
    input_grad: Tensor
    grads: dict[str, Tensor]
    buffers: dict[str, Tensor]

    def error_to(self, other: Outcome) -> dict[str, float]:
        """Relative errors, of each kind the largest."""
        pairs = {
            "features": [(self.features, other.features)],
            "input gradient": [(self.input_grad, other.input_grad)],
            "gradients": [(self.grads[name], grad) for name, grad in other.grads.items()],
            "statistics": [(self.buffers[name], value) for name, value in other.buffers.items()],
        }
        return {kind: _relative(found) for kind, found in pairs.items()}


def _relative(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Norm of the difference over the norm of what is expected, the largest.

    A gradient that is zero but for rounding (a bias in front of a batch norm) is measured by the others' size.
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
    """The sparse encoder does what the masked-dense one does."""

    def check(
        network: nn.Module, patch: int, images: Tensor, context: Any, training: bool = True, within: float = 1e-9
    ) -> None:
        expected, got = (
            outcome(kind, network, patch, images, context, training) for kind in (MaskedDenseEncoder, SparseEncoder)
        )
        errors = got.error_to(expected)
        assert max(errors.values()) <= within, errors

    return check
