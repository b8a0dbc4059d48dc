"""Backbones as they are built: slim ones of every width, with either stem, positions."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from methods.backbone_build import build_backbone, sincos_positions
from methods.backbones import BackboneSpec


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["small", "imagenet"])
@pytest.mark.parametrize("width", [8, 16, 32, 64])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_slim_resnets(name: str, width: int, stem: Literal["small", "imagenet"]) -> None:
    backbone = build_backbone(BackboneSpec(name=name, stem=stem, width=width), 64)
    cells = 8 if stem == "small" else 2
    assert backbone.feature_map(torch.randn(2, 3, 64, 64)).shape == (2, backbone.dimension, cells, cells)
    assert backbone.dimension == width * 8 * (4 if name == "resnet50" else 1)


def test_a_stem_that_pads_by_two_has_the_same_weights_and_a_larger_map() -> None:
    images = torch.randn(2, 3, 32, 32)
    small = BackboneSpec(name="resnet18", stem="small", width=8)
    padded = BackboneSpec(name="resnet18", stem="small_pad2", width=8)
    one, two = (build_backbone(spec, 32) for spec in (small, padded))
    two.net.load_state_dict(one.net.state_dict())
    assert one.feature_map(images).shape[-2:] == (4, 4) == small.grid(32)
    assert two.feature_map(images).shape[-2:] == (5, 5) == padded.grid(32)
    assert two.feature_map(torch.randn(2, 3, 96, 96)).shape[-2:] == (13, 13) == padded.grid(96)


def test_a_trained_class_token_has_no_position_and_a_gradient() -> None:
    backbone = build_backbone(
        BackboneSpec(name="vit_tiny", width=64, depth=2, patch_size=8, class_token="features"), 32
    )
    assert not backbone.net.pos_embed.requires_grad and not backbone.net.pos_embed[0, 0].any()
    backbone.features(torch.randn(2, 3, 32, 32)).square().mean().backward()
    assert backbone.net.cls_token.grad.abs().sum() > 0


def test_positions_tell_rows_from_columns_and_need_a_dimension_that_divides() -> None:
    positions_hwD = sincos_positions(8, (3, 5)).reshape(3, 5, 8)
    assert torch.equal(positions_hwD[1, :, :4], positions_hwD[1, :1, :4].expand(5, 4))
    assert torch.equal(positions_hwD[:, 2, 4:], positions_hwD[:1, 2, 4:].expand(3, 4))
    assert torch.allclose(positions_hwD[2, 4, [0, 4]], torch.tensor([2.0, 4.0]).sin())
    with pytest.raises(ValueError, match="divisible by 4, not 6"):
        sincos_positions(6, (2, 2))
