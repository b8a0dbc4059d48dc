"""MAE: targets, masks and loss by hand; reconstructions put visible pixels back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.contract import make_batch, make_step
from methods.pixels import pixel_targets


def test_the_loss_is_that_of_hidden_patches(lab: Any) -> None:
    method = lab.build("mae", "vit")
    batch, step = make_batch(method), make_step(seed=2)
    seen = method.glimpse(batch, step)
    hidden = seen["targets_BMhw"][:, 0].flatten(1)
    assert hidden.sum(1).tolist() == [48] * 8  # three quarters of 64
    assert torch.equal(hidden, ~seen["context_Bhw"].flatten(1))
    predicted = pixel_targets(seen["reconstruction_BCHW"], 4)
    raw = pixel_targets(batch.views[0], 4)
    # Back from pixels to the normalised space of the target.
    pixels = predicted.normalised_BNP * predicted.scale_BN1 + predicted.mean_BN1
    normalised = (pixels - raw.mean_BN1) / raw.scale_BN1
    error = (normalised - raw.normalised_BNP).square().mean(-1)[hidden].mean()
    torch.testing.assert_close(method(batch, make_step(seed=2)).loss, error, rtol=1e-4, atol=1e-5)
    mask = hidden.reshape(8, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3).expand(8, 3, 32, 32)
    torch.testing.assert_close(seen["reconstruction_BCHW"][~mask], batch.views[0][~mask], rtol=1e-4, atol=1e-4)


def test_hidden_pixels_never_reach_the_encoder(lab: Any) -> None:
    method = lab.build("mae", "vit")
    batch = make_batch(method)
    hidden = method.glimpse(batch, make_step())["targets_BMhw"].repeat_interleave(4, 2).repeat_interleave(4, 3)
    changed = torch.where(hidden, torch.randn_like(batch.views[0]), batch.views[0])
    predicted = [
        method._reconstruct(type(batch)((images,), batch.labels, batch.sample_ids), make_step()).predicted_BTP
        for images in (batch.views[0], changed)
    ]
    assert torch.equal(*predicted)


def test_a_decoder_whose_heads_do_not_divide_it_is_refused(lab: Any) -> None:
    with pytest.raises(ValueError, match="decoder_width is 30"):
        lab.build("mae", "vit", decoder_width=30)
