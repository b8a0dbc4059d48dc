"""Detectors around CNNs and ViTs."""

from __future__ import annotations

import pytest
import torch

from benchmark.evaluation.dense.detectors import CHANNELS, Pyramid, build_detector
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo

SPECS = {
    "cnn": BackboneSpec(name="resnet18", stem="small", width=8),
    "vit": BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=8),
}


def _encoder(kind: str) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = build_backbone(SPECS[kind], 32)
    return Encoder(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)).requires_grad_(False)


@pytest.mark.parametrize(("kind", "strides"), [("cnn", (2, 4, 8)), ("vit", (4, 8, 16))])
def test_levels_halve_and_share_their_channels(kind: str, strides: tuple[int, ...]) -> None:
    pyramid = Pyramid(_encoder(kind), 32)
    assert pyramid.strides == strides
    levels = pyramid(torch.zeros(2, 3, 32, 32))
    assert [level.shape for level in levels.values()] == [(2, CHANNELS, 32 // s, 32 // s) for s in strides]


def test_the_encoder_is_copied_and_trained_but_for_batch_norm_and_positions() -> None:
    encoder = _encoder("cnn")
    pyramid = Pyramid(encoder, 32).train()
    assert pyramid.encoder is not encoder and not any(p.requires_grad for p in encoder.parameters())
    assert all(p.requires_grad for p in pyramid.encoder.parameters())
    before = {name: value.clone() for name, value in pyramid.encoder.named_buffers()}
    pyramid(torch.randn(2, 3, 32, 32))
    assert before and all(torch.equal(before[name], value) for name, value in pyramid.encoder.named_buffers())
    positions = [p for name, p in Pyramid(_encoder("vit"), 32).named_parameters() if "pos_embed" in name]
    assert positions and not any(p.requires_grad for p in positions)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_detectors_have_losses_and_find_boxes_inside_the_image(kind: str, masks: bool) -> None:
    torch.manual_seed(0)
    detector = build_detector(_encoder(kind), 3, 32, (0.5,) * 3, (0.2,) * 3, masks=masks)
    images = list(torch.rand(2, 3, 32, 32))
    target = {
        "boxes": torch.tensor([[4.0, 4, 20, 20]]),
        "labels": torch.tensor([2]),
        "masks": torch.ones(1, 32, 32).byte(),
    }
    losses = detector.train()(images, [target, target])
    assert ("loss_mask" in losses) is masks
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in detector.backbone.lateral.parameters())
    with torch.no_grad():
        found = detector.eval()(images)[0]
    assert bool((found["boxes"] >= 0).all()) and bool((found["boxes"] <= 32).all())
    assert ("masks" in found) is masks
