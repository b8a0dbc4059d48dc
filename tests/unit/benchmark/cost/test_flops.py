"""FLOPs against counts by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark.cost.flops import count_flops
from cnn_jepa import MaskedDenseEncoder, MaskSpec, SparseEncoder, sample_masks
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec


def _both_ways(module: nn.Module, inputs: torch.Tensor) -> int:
    return count_flops(lambda: module(inputs).sum().backward())


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_with_groups(groups: int, stride: int) -> None:
    """2 x B x Cout x Cin / groups x k x k x positions forward; twice that backward, half without an input gradient."""
    conv = nn.Conv2d(8, 16, 3, stride, 1, groups=groups)
    forward = 2 * 4 * 16 * (8 // groups) * 9 * (10 // stride) ** 2
    assert count_flops(lambda: conv(torch.randn(4, 8, 10, 10))) == forward
    assert _both_ways(conv, torch.randn(4, 8, 10, 10)) == 2 * forward
    assert _both_ways(conv, torch.randn(4, 8, 10, 10, requires_grad=True)) == 3 * forward


def test_transposed_convolutions() -> None:
    conv = nn.ConvTranspose2d(8, 16, 2, 2, groups=4)
    forward = 2 * 3 * 5 * 5 * 8 * (16 // 4) * 4
    assert _both_ways(conv, torch.randn(3, 8, 5, 5, requires_grad=True)) == 3 * forward


def test_matrix_products_in_place_too() -> None:
    product, first, second = torch.zeros(3, 5), torch.randn(3, 4), torch.randn(4, 5)
    assert count_flops(lambda: product.addmm_(first, second)) == 2 * 3 * 4 * 5
    batch = torch.zeros(2, 3, 5)
    assert count_flops(lambda: batch.baddbmm_(torch.randn(2, 3, 4), torch.randn(2, 4, 5))) == 2 * 2 * 3 * 4 * 5
    assert _both_ways(nn.Linear(4, 5), torch.randn(7, 3, 4, requires_grad=True)) == 3 * 2 * 7 * 3 * 4 * 5


def test_fused_attention_on_the_cpu_is_counted() -> None:
    """Scores and values: 2 products forward; backward 5, since the scores are computed again."""
    query, key, value = (torch.randn(2, 3, 16, 8, requires_grad=True) for _ in range(3))
    product = 2 * 2 * 3 * 16 * 16 * 8

    def attend() -> Any:
        with nn.attention.sdpa_kernel(nn.attention.SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(query, key, value)

    assert count_flops(attend) == 2 * product
    assert count_flops(lambda: attend().sum().backward()) == 7 * product


def test_a_resnet_is_what_the_layers_sum_to() -> None:
    network = build_backbone(BackboneSpec(name="resnet18", stem="small", width=16), 32).net
    images = torch.randn(2, 3, 32, 32)
    by_hand = 0

    def add(module: nn.Module, _: Any, made: torch.Tensor) -> None:
        nonlocal by_hand
        assert isinstance(module, nn.Conv2d)
        by_hand += 2 * made.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, nn.Conv2d)]
    forward = count_flops(lambda: network(images))
    for hook in hooks:
        hook.remove()
    assert forward == by_hand
    # Backward: both gradients of every layer but the first, whose input needs none.
    first = 2 * 2 * 16 * 32 * 32 * 27
    assert _both_ways(network, images) == 3 * by_hand - first


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_the_sparse_encoder_counts_what_it_computes(share: float) -> None:
    """Visible cells alone: at most their share of the dense network's FLOPs, and no less than half of that share.

    Less than the share, because products with hidden neighbours are left out in small blocks.
    """
    network = build_backbone(BackboneSpec(name="resnet18", stem="small", width=32), 32).net
    images = torch.randn(4, 3, 32, 32)
    spec = MaskSpec(strategy="random", mask_ratio=1 - share, min_context=2)
    masks = sample_masks(spec, 4, (4, 4), torch.Generator().manual_seed(0))
    sparse, masked = (
        count_flops(lambda kind=kind: kind(network, 8)(images, masks).sum().backward())  # type: ignore[misc]
        for kind in (SparseEncoder, MaskedDenseEncoder)
    )
    dense = count_flops(lambda: network(images).sum().backward())
    assert masked == dense
    assert 0.5 * share <= sparse / dense <= 1.05 * share
