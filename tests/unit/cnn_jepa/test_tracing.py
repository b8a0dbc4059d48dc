"""Networks that can be traced, operations that are refused by name, and networks drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnn_jepa import MaskedDenseEncoder, SparseEncoder
from cnn_jepa.tracing import trace

if TYPE_CHECKING:
    from collections.abc import Callable


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class LastNorm(nn.Module):
    """Layer norm and a linear layer over channels, as in ConvNeXt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(channels), nn.Linear(channels, channels)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, channels))
        nn.init.uniform_(self.norm.bias, 0.1, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return mixed.mul(self.scale.reshape(1, -1, 1, 1))


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Squeeze(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()


class Position(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 4, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.position


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.AdaptiveAvgPool2d(1), r"module '1' \(AdaptiveAvgPool2d\) cannot run on a part of an image"),
        (Squeeze(), "tensor method 'mean' cannot run on a part of an image"),
        (Function(lambda x: x.flatten(2)), "tensor method 'flatten'"),
        (Function(lambda x: x.reshape(1, 4, -1)), "tensor method 'reshape'"),
        (Function(lambda x: x.permute(0, 1, 3, 2)), "tensor method 'permute'"),
        (Function(lambda x: torch.cat([x, x], 1)), "function 'cat'"),
        (Function(lambda x: nn.functional.interpolate(x, scale_factor=2)), "function 'interpolate'"),
        (nn.GroupNorm(2, 4), r"\(GroupNorm\)"),
        (nn.InstanceNorm2d(4), r"\(InstanceNorm2d\)"),
        (nn.Upsample(scale_factor=2), r"\(Upsample\)"),
        (nn.ConvTranspose2d(4, 4, 2, 2), r"\(ConvTranspose2d\)"),
        (nn.Linear(8, 8), r"module '1' \(Linear\) works on another axis than the channels"),
        (nn.LayerNorm(8), r"\(LayerNorm\) works on another axis"),
        (timm.layers.BatchNormAct2d(4), r"module '1' \(BatchNormAct2d\) cannot run"),
        (nn.Conv2d(4, 4, 3), r"with kernel \(3, 3\), stride \(1, 1\), padding \(0, 0\).* does not divide"),
        (Position(), r"differs between positions, \(1, 4, 8, 8\)"),
        (Function(lambda x: x[:, :2]), "function 'getitem'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("kind", [SparseEncoder, MaskedDenseEncoder])
def test_refused_by_name_when_built(kind: type[nn.Module], module: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(nn.Sequential(nn.Conv2d(3, 4, 1), module), 8)


def test_networks_whose_result_is_not_one_feature_map_are_refused() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Conv2d(3, 3, 2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.down(x)

    for network, message in (
        (Pair(), "one feature map"),
        (Two(), "a second input, 'y'"),
        (Branch(), "Branch cannot be traced"),
        (Mixed(), "two maps of different resolution"),
        (Function(lambda x: x.permute(0, 2, 3, 1)), "channels last"),
        (timm.create_model("seresnet50", num_classes=0, global_pool=""), "cannot run on a part of an image"),
    ):
        with pytest.raises(ValueError, match=message):
            trace(network, 32)


def test_patch_sizes_that_do_not_fit_are_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.MaxPool2d(2))
    assert trace(network, 16).stride == 8
    for patch in (4, 12, 0):
        with pytest.raises(
            ValueError, match=f"patch_size is {patch}; Sequential needs a multiple of its total stride, 8"
        ):
            SparseEncoder(network, patch)


@st.composite
def layers(draw: st.DrawFn) -> nn.Module:
    """A network of a few layers with total stride up to 4, and its parameters."""
    torch.manual_seed(draw(st.integers(0, 2**16)))
    channels, side, made = 3, 8, []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["conv", "conv", "batch", "layer", "relu", "gelu", "max", "avg", "residual"]))
        if kind == "conv":
            kernel, dilation = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (3, 2), (5, 1), (7, 1), ((1, 3), 1)]))
            stride = draw(st.sampled_from([1, 2])) if side > 2 else 1
            out = draw(st.sampled_from([4, 6]))
            tall, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
            if kernel == 2:
                stride, padding = (2, (0, 0)) if side > 2 else (1, (0, 0))
                if stride == 1:
                    continue
            else:
                padding = (tall // 2 * dilation, wide // 2 * dilation)
            groups = 2 if channels % 2 == 0 and draw(st.booleans()) else 1
            made.append(nn.Conv2d(channels, out, (tall, wide), stride, padding, dilation, groups, draw(st.booleans())))
            channels, side = out, side // stride
        elif kind in ("max", "avg"):
            kernel, stride, padding = draw(st.sampled_from([(3, 2, 1), (2, 2, 0), (3, 1, 1)]))
            if stride == 2 and side <= 2:
                continue
            inside = draw(st.booleans())
            pool = nn.MaxPool2d(kernel, stride, padding)
            made.append(pool if kind == "max" else nn.AvgPool2d(kernel, stride, padding, count_include_pad=inside))
            side //= stride
        elif kind == "batch":
            made.append(nn.BatchNorm2d(channels, momentum=draw(st.sampled_from([0.1, None]))))
        elif kind == "residual":
            inner = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())
            made.append(Residual(inner))
        else:
            # Torch has no backward pass through a ReLU whose result another one overwrote.
            made.append(
                {
                    "layer": LastNorm(channels),
                    "relu": nn.ReLU(inplace=not made or not isinstance(made[-1], nn.ReLU)),
                    "gelu": nn.GELU(),
                }[kind]
            )
    return nn.Sequential(nn.Identity(), *made)


@st.composite
def masks(draw: st.DrawFn) -> Tensor:
    """A context of up to three images on a grid of up to 3x4, with at least two visible cells."""
    batch, rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(2, 4))
    cells = draw(st.lists(st.booleans(), min_size=batch * rows * columns, max_size=batch * rows * columns))
    context = torch.tensor(cells).view(batch, rows, columns)
    context[0, 0, :2] = True
    return context


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(layers(), masks(), st.booleans())
def test_networks_drawn_at_random(
    assert_equal: Callable[..., None], network: nn.Module, context: Tensor, training: bool
) -> None:
    images = torch.randn(len(context), 3, context.shape[1] * 8, context.shape[2] * 8, dtype=torch.float64)
    assert_equal(network.double(), 8, images, context, training)


class _Named(nn.Module):
    """A network of one function over two convolutions."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.c, self.d = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def _after(operation: Any) -> Any:
    def function(net: Any, x: Tensor) -> Tensor:
        y = net.c(x)
        operation(net, y)
        return y

    return function


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_after(lambda net, y: net.relu(y)), "'relu' changes its result in place"),
        (_after(lambda net, y: F.relu(y, inplace=True)), "changes its result in place"),
        (_after(lambda net, y: y.add_(1)), "'add_' changes its result in place"),
        (lambda net, x: net.c(x) * (3.0 if net.training else 1.0), "does something else in training"),
        (lambda net, x: net.c(x) if net.training else net.d(net.c(x)), "does something else in training"),
        (lambda net, x: net.c(x).permute(dims=(0, 2, 3, 1)), "'permute' cannot be interpreted"),
    ],
)
def test_networks_that_the_encoders_would_compute_differently_are_refused(function: Any, message: str) -> None:
    for encoder in (SparseEncoder, MaskedDenseEncoder):
        with pytest.raises(ValueError, match=message):
            encoder(_Named(function), 4)


@pytest.mark.parametrize("between", [nn.Identity(), nn.Dropout(0.0)])
def test_a_stage_that_is_changed_in_place_behind_a_layer_that_does_nothing_is_refused(between: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), between, nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
    with pytest.raises(ValueError, match="stage '0' of Sequential: '2' changes its value in place"):
        SparseEncoder(network, 1, ["0"])
    SparseEncoder(network, 1, ["2"])


def test_modules_keep_their_modes() -> None:
    network = _Named(lambda net, x: net.d(net.c(x)))
    network.train()
    network.c.eval()
    SparseEncoder(network, 4)
    assert network.training and network.d.training and not network.c.training


@pytest.mark.parametrize("change", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_layers_with_hooks_are_refused(change: Any) -> None:
    with pytest.raises(ValueError, match=r"'0' \(Conv2d\) has hooks"):
        SparseEncoder(nn.Sequential(change(nn.Conv2d(3, 4, 3, padding=1))), 4)


def test_layers_with_a_computation_of_their_own_are_refused() -> None:
    class Standardised(nn.Conv2d):
        def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return super()._conv_forward(x, weight - weight.mean(), bias)

    own = nn.Conv2d(3, 4, 3, padding=1)
    own.forward = lambda x: x  # type: ignore[method-assign,assignment]
    for layer in (Standardised(3, 4, 3, padding=1), own):
        with pytest.raises(ValueError, match="cannot run on a part of an image"):
            SparseEncoder(nn.Sequential(layer), 4)


def test_a_tensor_changed_in_place_is_masked_for_all_its_readers() -> None:
    def function(net: Any, x: Tensor) -> Tensor:
        y = net.c(x)
        y.add_(1)
        return net.d(y)

    def kept(net: Any, x: Tensor) -> Tensor:
        y = net.c(x)
        z = y.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        return y + net.relu(z)

    torch.manual_seed(0)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    some = torch.tensor([[[True, False], [True, True]], [[False, True], [False, False]]])
    for forward in (function, kept):
        network = _Named(forward).double()
        sparse, dense = (kind(network, 4)(images, some) for kind in (SparseEncoder, MaskedDenseEncoder))
        torch.testing.assert_close(sparse, dense, rtol=1e-12, atol=1e-12)
        whole = torch.ones(2, 2, 2, dtype=torch.bool)
        torch.testing.assert_close(SparseEncoder(network, 4)(images, whole), network(images), rtol=1e-12, atol=1e-12)
