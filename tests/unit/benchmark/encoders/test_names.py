"""Names of other libraries: the weights, and the features, are those that the library's own names stand for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from published import PUBLISHED, encoder_weights
from timm.layers import resample_abs_pos_embed

from benchmark.encoders.foreign import recognise
from benchmark.encoders.formats import Foreign
from benchmark.encoders.names import anchors, fitted, translated
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec

# What a user says of the network; the rest is found in the file.
FOUND = ("class_token", "design", "registers")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_is_understood_without_a_format(name: str) -> None:
    layout, settings = PUBLISHED[name]
    weights = encoder_weights(settings)
    spec = BackboneSpec.model_validate({key: value for key, value in settings.items() if key not in FOUND})
    foreign, backbone, found = recognise(Foreign(Path("w.pth"), spec, "w"), layout(weights), 32)
    assert found.whole, found.report()
    assert foreign.backbone == BackboneSpec.model_validate(settings)
    assert found.weights.keys() == weights.keys()
    for key, weight in found.weights.items():
        torch.testing.assert_close(weight, weights[key])
    backbone.net.load_state_dict(found.weights)


def test_wrappers_are_taken_out_wherever_they_stand() -> None:
    name = "_orig_mod.module._fsdp_wrapped_module.layer1._checkpoint_wrapped_module.0._orig_mod.conv1.weight"
    assert list(translated({name: torch.zeros(1)})) == ["module.layer1.0.conv1.weight"]


def test_a_bias_that_only_queries_and_values_have_is_zero_for_keys() -> None:
    parts = {f"layer.0.attention.{part}_proj.bias": torch.full((2,), value) for part, value in (("q", 1.0), ("v", 3.0))}
    parts["embeddings.patch_embeddings.weight"] = torch.zeros(1)
    assert translated(parts)["blocks.0.attn.qkv.bias"].tolist() == [1, 1, 0, 0, 3, 3]


def test_biases_that_a_dinov3_lacks_are_zero() -> None:
    settings = PUBLISHED["DINOv3"][1]
    network = build_backbone(BackboneSpec.model_validate(settings), 32).net
    own = {name: value for name, value in network.state_dict().items() if not name.endswith("_bias")}
    fit, _ = fitted(own, network)
    assert fit.keys() == network.state_dict().keys()
    assert not fit["blocks.1.attn.q_bias"].any() and not fit["blocks.0.attn.v_bias"].any()


@pytest.mark.parametrize("name", ["DINOv2", "DINOv2 with registers"])
def test_positions_of_dinov2_are_resampled_and_said(name: str) -> None:
    layout, settings = PUBLISHED[name]
    weights = encoder_weights(settings)
    spec = BackboneSpec.model_validate({key: value for key, value in settings.items() if key not in FOUND})
    _, _, found = recognise(Foreign(Path("w.pth"), spec, "w"), layout(weights), 64)
    assert found.whole and "positions of 4 x 4 patches resampled to 8 x 8" in found.report()
    prefix = 0 if "registers" in settings else 1
    expected = resample_abs_pos_embed(weights["pos_embed"], [8, 8], [4, 4], prefix)
    torch.testing.assert_close(found.weights["pos_embed"], expected)


def test_a_part_of_a_sequence_has_two_names() -> None:
    assert anchors("conv1.weight") == ("conv1.weight", "0.weight")
    assert anchors("cls_token") == ("cls_token",)


def test_register_tokens_are_no_patches() -> None:
    """The mean of the patch tokens leaves class token and registers out."""
    settings = {**PUBLISHED["DINOv2 with registers"][1], "class_token": "beside"}
    backbone = build_backbone(BackboneSpec.model_validate(settings), 32).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        states = backbone.net.forward_features(images)
        assert states.shape[1] == 1 + 4 + 16
        torch.testing.assert_close(backbone.features(images), states[:, 5:].mean(dim=1))
        assert backbone.feature_map(images).shape == (2, 32, 4, 4)
