"""The masked-dense encoder follows its four rules exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cnn_jepa import MaskedDenseEncoder, MaskSpec, sample_masks
from cnn_jepa.masked_dense import true_positions
from methods.backbones import BackboneSpec

Network = Callable[[BackboneSpec | None, int], nn.Module]

# Backbone (None: a small ConvNeXt), pixels of an image and per cell.
NETWORKS = [
    pytest.param(BackboneSpec(name="resnet18", stem="small", width=8), 32, 8, id="resnet18"),
    pytest.param(BackboneSpec(name="resnet50", width=8), 64, 32, id="resnet50"),
    pytest.param(None, 64, 32, id="convnext"),
]


@pytest.mark.parametrize(("spec", "size", "patch"), NETWORKS)
def test_everything_visible_is_the_dense_network(
    make_network: Network, spec: BackboneSpec | None, size: int, patch: int
) -> None:
    network = make_network(spec, size).double()
    twin = copy.deepcopy(network)
    images = torch.randn(3, 3, size, size, dtype=torch.float64)
    encoder = MaskedDenseEncoder(twin, patch)
    everything = torch.ones(3, size // patch, size // patch, dtype=torch.bool)
    expected, got = network(images), encoder(images, everything)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    expected.square().sum().backward()
    got.square().sum().backward()
    for (name, one), (_, other) in zip(network.named_parameters(), twin.named_parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-7, atol=1e-9, msg=name)
    for (name, one_b), (_, other_b) in zip(network.named_buffers(), twin.named_buffers(), strict=True):
        torch.testing.assert_close(other_b, one_b, rtol=1e-9, atol=1e-9, msg=name)
    assert encoder.state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize(("spec", "size", "patch"), NETWORKS)
def test_hidden_pixels_change_nothing_and_hidden_cells_are_zero(
    make_network: Network, spec: BackboneSpec | None, size: int, patch: int
) -> None:
    encoder = MaskedDenseEncoder(make_network(spec, size).double(), patch)
    grid = (size // patch, size // patch)
    generator = torch.Generator().manual_seed(1)
    masks = sample_masks(MaskSpec(strategy="random", mask_ratio=0.5, min_context=1), 4, grid, generator)
    images = torch.randn(4, 3, size, size, dtype=torch.float64)
    hidden = ~masks.context_Bhw.repeat_interleave(patch, 1).repeat_interleave(patch, 2).unsqueeze(1)
    changed = torch.where(hidden, torch.randn_like(images) * 100, images)
    first, second = encoder(images, masks), encoder(changed, masks.context_Bhw)
    assert torch.equal(first, second)
    at_hidden = first.permute(0, 2, 3, 1)[~masks.context_Bhw]
    assert at_hidden.abs().max() == 0
    assert first.abs().max() > 0


def _reference(images: Tensor, mask: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d, pool: nn.MaxPool2d) -> Tensor:
    """Convolution, norm, ReLU and pooling by the rules, at visible positions only."""
    fine = mask.repeat_interleave(4, 1).repeat_interleave(4, 2)
    values = nn.functional.conv2d(images * fine.unsqueeze(1), conv.weight, conv.bias, padding=1)
    positions = values.permute(0, 2, 3, 1)[fine]
    mean, variance = positions.mean(0), positions.var(0, unbiased=False)
    normalised = (positions - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
    full = torch.zeros_like(values).permute(0, 2, 3, 1)
    full[fine] = normalised.clamp(min=0)
    pooled = nn.functional.max_pool2d(full.permute(0, 3, 1, 2), 3, 2, 1)
    return pooled * mask.repeat_interleave(2, 1).repeat_interleave(2, 2).unsqueeze(1)


def test_rules_against_a_reference_implementation() -> None:
    torch.manual_seed(3)
    conv, norm, pool = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.MaxPool2d(3, 2, 1)
    nn.init.uniform_(norm.bias, 0.2, 0.6)
    network = nn.Sequential(conv, norm, nn.ReLU(), pool).double()
    images = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    mask = torch.tensor([[[1, 0, 1], [0, 0, 1]], [[0, 0, 0], [1, 1, 0]]], dtype=torch.bool)
    expected = _reference(images, mask, conv, norm, pool)
    got = MaskedDenseEncoder(network, 4)(images, mask)
    torch.testing.assert_close(got, expected)
    assert int(norm.num_batches_tracked) == 1


def test_refusals_name_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"module '1' \(AdaptiveAvgPool2d\)"):
        MaskedDenseEncoder(nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1)), 4)
    encoder = MaskedDenseEncoder(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)), 4)
    images = torch.randn(1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"need \(1, 2, 2\)"):
        encoder(images, torch.ones(1, 3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="boolean"):
        encoder(images, torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match="0 visible positions"):
        encoder(images, torch.zeros(1, 2, 2, dtype=torch.bool))


def test_positions_are_the_same_whether_their_number_is_known_or_not() -> None:
    for share in (0.0, 0.4, 1.0):
        mask = torch.rand(70, generator=torch.Generator().manual_seed(0)) < share
        expected = mask.nonzero().squeeze(1)
        assert torch.equal(true_positions(mask, None), expected)
        assert torch.equal(true_positions(mask, int(mask.sum())), expected)
