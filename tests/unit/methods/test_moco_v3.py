"""MoCo v3: the momentum encoder, and a frozen patch embedding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.contract import make_step

_SMALL = {"projector_hidden": 64, "output_dim": 32}


def test_the_momentum_encoder_follows(lab: Any) -> None:
    method = lab.build("moco_v3", ema={"start": 0.75}, **_SMALL)
    for parameter in method.backbone.parameters():
        parameter.data += 1.0
    before = [p.clone() for p in method.target_backbone.parameters()]
    method.after_step(make_step(0.0))
    for old, new in zip(before, method.target_backbone.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_vits_patch_embedding_stays_if_it_is_frozen(lab: Any, freeze: bool) -> None:
    method = lab.build("moco_v3", "vit", freeze_patches=freeze, **_SMALL)
    trained = {id(p) for group in method.parameter_groups() for p in group["params"]}
    assert all((id(p) in trained) != freeze for p in method.backbone.net.patch_embed.parameters())
