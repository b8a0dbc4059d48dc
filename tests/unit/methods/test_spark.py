"""SparK: hidden pixels reach nothing; synchronised layers."""

from __future__ import annotations

from typing import Any

import torch

from methods.contract import make_batch, make_step


def test_hidden_pixels_never_reach_the_prediction(lab: Any) -> None:
    method = lab.build("spark", decoder_width=32)
    batch = make_batch(method)
    masks = method._masks(batch, make_step())
    hidden = ~masks.context_Bhw.repeat_interleave(8, 1).repeat_interleave(8, 2).unsqueeze(1)
    changed = torch.where(hidden, torch.randn_like(batch.views[0]), batch.views[0])
    first, second = (method._predict(images, masks) for images in (batch.views[0], changed))
    assert torch.equal(first, second)


def test_a_converted_encoder_shares_the_backbones_layers(lab: Any) -> None:
    method = lab.build("spark", decoder_width=32)
    method.synchronise_batch_norm()
    assert method.encoder.bn1 is method.backbone.net.bn1
    assert type(method.encoder.bn1).__name__ == "SyncBatchNorm"
