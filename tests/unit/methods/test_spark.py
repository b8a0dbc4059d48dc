"""SparK: the decoder on the masked-dense encoder's maps gives the same loss; hidden pixels reach nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from cnn_jepa import MaskedDenseEncoder
from methods.contract import make_batch, make_step
from methods.pixels import pixel_targets


@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_that_of_hidden_cells_on_the_oracles_maps(lab: Any, seed: int) -> None:
    method = lab.build("spark", decoder_width=32)
    batch = make_batch(method)
    (images,) = batch.views
    masks = method._masks(batch, make_step(seed=seed))
    oracle = MaskedDenseEncoder(copy.deepcopy(method.backbone.net), method.patch, method.backbone.stages)
    maps = oracle.feature_maps(images, masks)
    assert [tuple(one.shape[1:]) for one in maps] == [(8, 32, 32), (16, 16, 16), (32, 8, 8), (64, 4, 4)]
    pixels = copy.deepcopy(method.decoder)(maps, masks.context_Bhw)
    error = (pixel_targets_of(pixels) - pixel_targets(images, 8).normalised_BNP).square().mean(-1)
    expected = error[~masks.context_Bhw.flatten(1)].mean()
    torch.testing.assert_close(method(batch, make_step(seed=seed)).loss, expected, rtol=1e-4, atol=1e-5)


def pixel_targets_of(pixels: torch.Tensor) -> torch.Tensor:
    """Cells of 8 x 8 pixels in raster order, by slicing."""
    cells = [pixels[:, :, y : y + 8, x : x + 8].flatten(1) for y in range(0, 32, 8) for x in range(0, 32, 8)]
    return torch.stack(cells, dim=1)


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
