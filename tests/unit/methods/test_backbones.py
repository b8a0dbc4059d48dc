"""Backbones: slim ones of every width, with either stem."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import timm
import torch

from methods.backbones import Backbone, BackboneSpec, build_backbone


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["small", "imagenet"])
@pytest.mark.parametrize("width", [8, 16, 32, 64])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_slim_resnets(name: str, width: int, stem: Literal["small", "imagenet"]) -> None:
    backbone = build_backbone(BackboneSpec(name=name, stem=stem, width=width), 64)
    cells = 8 if stem == "small" else 2
    assert backbone.feature_map(torch.randn(2, 3, 64, 64)).shape == (2, backbone.dimension, cells, cells)
    assert backbone.dimension == width * 8 * (4 if name == "resnet50" else 1)


def _token_vit(**settings: Any) -> tuple[BackboneSpec, Backbone]:
    spec = BackboneSpec(name="vit_tiny", width=64, depth=2, patch_size=8, **settings)
    torch.manual_seed(0)
    return spec, build_backbone(spec, 32)


@pytest.mark.parametrize("heads", [None, 4])
def test_a_class_token_is_computed_as_timm_does(heads: int | None) -> None:
    _, backbone = _token_vit(class_token="features", heads=heads)
    theirs = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=heads or 1, num_classes=0
    )
    theirs.load_state_dict(backbone.net.state_dict())
    images = torch.randn(3, 3, 32, 32)
    tokens = theirs.forward_features(images)
    with torch.no_grad():
        assert torch.equal(backbone.features(images), theirs(images))
        assert torch.allclose(backbone.feature_map(images).flatten(2).mT, tokens[:, 1:])
        assert backbone.pooling == "class token"
        _, beside = _token_vit(class_token="beside", heads=heads)
        assert torch.allclose(beside.features(images), tokens[:, 1:].mean(dim=1), atol=1e-6)
        assert beside.pooling == "average of patch tokens"


def test_heads_change_the_features_though_no_shape() -> None:
    images = torch.randn(2, 3, 32, 32)
    (_, one), (_, four) = _token_vit(), _token_vit(heads=4)
    four.net.load_state_dict(one.net.state_dict())
    assert not torch.allclose(one.features(images), four.features(images), atol=1e-4)
    assert "cls_token" not in one.net.state_dict()


def test_a_stem_that_pads_by_two_has_the_same_weights_and_a_larger_map() -> None:
    images = torch.randn(2, 3, 32, 32)
    small = BackboneSpec(name="resnet18", stem="small", width=8)
    padded = BackboneSpec(name="resnet18", stem="small_pad2", width=8)
    one, two = (build_backbone(spec, 32) for spec in (small, padded))
    two.net.load_state_dict(one.net.state_dict())
    assert one.feature_map(images).shape[-2:] == (4, 4) == small.grid(32)
    assert two.feature_map(images).shape[-2:] == (5, 5) == padded.grid(32)
    assert two.feature_map(torch.randn(2, 3, 96, 96)).shape[-2:] == (13, 13) == padded.grid(96)
