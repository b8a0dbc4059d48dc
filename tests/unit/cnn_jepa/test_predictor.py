"""The convolutional predictor: number of parameters, size of its maps, kernel."""

from __future__ import annotations

import pytest
import torch

from cnn_jepa import ConvPredictor
from methods.backbones import count_parameters


def test_published_predictor_sizes() -> None:
    """12.66 M parameters at 2048 channels, three layers, kernel 3; 113.3 M with full convolutions."""
    assert count_parameters(ConvPredictor(2048, 3, 3)) == pytest.approx(12.66e6, rel=2e-3)
    assert count_parameters(ConvPredictor(2048, 3, 9)) == pytest.approx(13.11e6, rel=2e-3)
    full = sum(p.numel() for p in ConvPredictor(256, 3, 3, depthwise=False).parameters())
    assert full == 3 * (256 * 256 * 9 + 256 + 2 * 256)


def test_maps_keep_their_size_and_the_receptive_field_is_that_of_the_kernels() -> None:
    predictor = ConvPredictor(4, depth=2, kernel_size=5).eval()
    features = torch.rand(1, 4, 11, 13, requires_grad=True)
    predicted = predictor(features)
    assert predicted.shape == features.shape
    with torch.no_grad():  # ReLUs that are off would hide what is read
        for parameter in predictor.parameters():
            parameter.abs_()
    predictor(features)[0, :, 5, 6].sum().backward()
    read = features.grad[0].ne(0).any(0).nonzero()
    # Two kernels of 5 read 4 cells to each side.
    assert (read.min(0).values.tolist(), read.max(0).values.tolist()) == ([1, 2], [9, 10])


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size is 4; it has to be odd"):
        ConvPredictor(4, kernel_size=4)
