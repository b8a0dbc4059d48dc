"""Pixels as targets, and the decoder of a CNN's maps."""

from __future__ import annotations

import pytest
import torch

from methods.pixels import UNetDecoder, pixel_targets


def test_targets_are_patches_of_zero_mean_and_unit_variance() -> None:
    images = torch.rand(2, 3, 8, 12)
    targets = pixel_targets(images, 4)
    assert targets.normalised_BNP.shape == (2, 6, 48)
    patch = images[1, :, 4:8, 8:12].flatten()  # row 1, column 2
    expected = (patch - patch.mean()) / (patch.var() + 1e-6).sqrt()
    torch.testing.assert_close(targets.normalised_BNP[1, 5], expected)
    torch.testing.assert_close(targets.images(targets.normalised_BNP, 4, (2, 3)), images)


@pytest.mark.parametrize(("maps", "size"), [([(8, 16), (16, 8), (32, 4)], 32), ([(8, 4)], 32), ([(4, 8), (8, 4)], 8)])
def test_the_decoder_reaches_the_images_size_from_any_stages(maps: list[tuple[int, int]], size: int) -> None:
    decoder = UNetDecoder(maps, 16, size)
    values = [torch.randn(2, channels, side, side) for channels, side in maps]
    visible = torch.rand(2, 4, 4) > 0.5
    pixels = decoder(values, visible)
    assert pixels.shape == (2, 3, size, size)
    # What lies in hidden cells is filled, so that it changes nothing.
    changed = []
    for one in values:
        hidden = torch.nn.functional.interpolate((~visible).float().unsqueeze(1), one.shape[2:]) > 0
        changed.append(torch.where(hidden, torch.randn_like(one), one))
    assert torch.equal(decoder(changed, visible), pixels)
