"""Feature maps, class tokens, and tokens that are kept or replaced."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import timm
import torch

from cnn_jepa.sparse import SparseEncoder
from methods.backbone_build import build_backbone
from methods.backbones import CNN, Backbone, BackboneSpec, ViT


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


_STAGES = [
    (BackboneSpec(name="resnet18", stem="small", width=16), 32, [(16, 32), (32, 16), (64, 8), (128, 4)]),
    (BackboneSpec(name="resnet50", width=8), 64, [(32, 16), (64, 8), (128, 4), (256, 2)]),
    (BackboneSpec(name="convnext_tiny"), 64, [(96, 16), (192, 8), (384, 4), (768, 2)]),
]


@pytest.mark.parametrize(("spec", "size", "shapes"), _STAGES)
def test_maps_of_every_stage(spec: BackboneSpec, size: int, shapes: list[tuple[int, int]]) -> None:
    """Also of the sparse encoder: with everything visible it computes the network's own."""
    torch.manual_seed(0)
    backbone = build_backbone(spec, size).eval()
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        maps = backbone.feature_maps(images)
        assert [(one.shape[1], one.shape[2]) for one in maps] == shapes
        assert torch.equal(maps[-1], backbone.feature_map(images))
        seen = torch.ones(2, size // spec.stride, size // spec.stride, dtype=torch.bool)
        assert isinstance(backbone, CNN)
        sparse = SparseEncoder(backbone.net, spec.stride, backbone.stages).eval()
        for ours, theirs in zip(sparse.feature_maps(images, seen), maps, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_vit_has_no_stages() -> None:
    _, backbone = _token_vit()
    with pytest.raises(ValueError, match="vit_tiny has no stages"):
        backbone.feature_maps(torch.randn(1, 3, 32, 32))


def test_images_of_another_size_get_interpolated_positions() -> None:
    spec, backbone = _token_vit()
    assert isinstance(backbone, ViT)
    with torch.no_grad():
        assert backbone.feature_map(torch.randn(2, 3, 16, 24)).shape == (2, 64, 2, 3)
        # Where embeddings are equal, positions alone tell patches apart, and they are smooth.
        backbone.net.patch_embed.proj.weight.zero_()
        fine = backbone.states(torch.randn(1, 3, 64, 64), blocks=spec.depth or 12)[0]
        assert fine.shape == (1, 64, 64)
        coarse = torch.nn.functional.avg_pool2d(
            backbone._positions(torch.zeros(1, 3, 64, 64)).view(8, 8, 64).permute(2, 0, 1), 2
        )
        own = backbone.net.pos_embed.view(4, 4, 64).permute(2, 0, 1)
        assert torch.nn.functional.cosine_similarity(coarse.flatten(1).T, own.flatten(1).T).min() > 0.95


@pytest.mark.parametrize("token", [None, "features", "beside"])
def test_tokens_are_kept_replaced_and_counted(token: Literal["features", "beside"] | None) -> None:
    _, backbone = _token_vit(class_token=token)
    assert isinstance(backbone, ViT)
    backbone.eval()
    images, prefix = torch.randn(2, 3, 32, 32), 0 if token is None else 1
    every = torch.arange(16).expand(2, -1)
    with torch.no_grad():
        assert [state.shape for state in backbone.states(images, blocks=2)] == [(2, 16 + prefix, 64)] * 2
        torch.testing.assert_close(backbone.tokens(images, every), backbone.tokens(images))
        # A patch that is left out changes nothing; one that is replaced is as good as unseen.
        changed = images.clone()
        changed[:, :, :8, :8] = 5.0  # patch 0
        kept = every[:, 1:]
        assert torch.equal(backbone.tokens(images, kept), backbone.tokens(changed, kept))
        replaced = torch.zeros(2, 16, dtype=torch.bool)
        replaced[:, 0] = True
        masked = [backbone.tokens(x, replace_BN=replaced, mask_token=torch.ones(64)) for x in (images, changed)]
        assert torch.equal(*masked) and not torch.equal(masked[0], backbone.tokens(images))
        features = backbone.features(images)
        expected = backbone.states(images)[-1]
        assert torch.equal(features, expected[:, 0] if token == "features" else expected[:, prefix:].mean(1))
