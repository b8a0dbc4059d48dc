"""Losses of features: normalisation, averages, and VICReg's terms computed by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnn_jepa import prediction_loss
from cnn_jepa.losses import feature_loss, masked_mean, normalise, variance_covariance


def test_smooth_l1_of_unit_vectors_is_one_minus_cosine() -> None:
    predicted, target = torch.randn(2, 50, 256, dtype=torch.float64)
    expected = 1 - nn.functional.cosine_similarity(predicted, target, dim=-1)
    got = prediction_loss(normalise(predicted, "l2"), normalise(target, "l2"), "smooth_l1")
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-6)


def test_variance_and_covariance_by_hand() -> None:
    features = torch.randn(40, 6) * torch.tensor([0.1, 0.5, 1.0, 2.0, 0.3, 1.0])
    variance, covariance = variance_covariance(features)
    expected = torch.relu(1 - (features.var(0) + 1e-4).sqrt()).mean()
    matrix = torch.cov(features.T)
    off = (matrix - torch.diag(matrix.diagonal())).square().sum() / 6
    torch.testing.assert_close(variance, expected)
    torch.testing.assert_close(covariance, off)


def test_normalised_vectors() -> None:
    features = torch.tensor([[3.0, 4.0], [0.0, 2.0]]).bfloat16()
    assert normalise(features, "l2").tolist() == [pytest.approx([0.6, 0.8]), [0.0, 1.0]]
    assert normalise(features, "layer").tolist() == [pytest.approx([-1.0, 1.0], abs=1e-3)] * 2
    assert normalise(features, "none").dtype == torch.float32


def test_channels_are_normalised_over_the_batch() -> None:
    features_BND = torch.randn(4, 6, 3) * torch.tensor([0.1, 1.0, 9.0]) + torch.tensor([5.0, 0.0, -2.0])
    expected = F.batch_norm(features_BND.flatten(0, 1), None, None, training=True)
    torch.testing.assert_close(normalise(features_BND, "batch"), expected.view_as(features_BND), rtol=1e-4, atol=1e-3)
    target = features_BND.flatten(0, 1)
    assert feature_loss(expected, target, "mse", "batch").max().item() == pytest.approx(0.0, abs=1e-5)


def test_layer_normalises_the_target_only_and_l2_both() -> None:
    predicted, target = torch.tensor([[-2.0, 2.0]]), torch.tensor([[10.0, 20.0]])
    assert feature_loss(predicted, target, "mse", "layer").item() == pytest.approx(2.0)
    assert feature_loss(5 * predicted, target, "cosine", "none").item() == pytest.approx(1 - 1 / 10**0.5)
    same = feature_loss(3 * target, target, "mse", "l2")
    assert same.item() == pytest.approx(0.0, abs=1e-6)
    assert feature_loss(predicted, target, "mse", "none").item() == 12**2 + 18**2


def test_the_mean_is_over_the_masked_positions_of_all_images() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    mask = torch.tensor([[True, False, True], [True, False, False]])
    assert masked_mean(values, mask).item() == pytest.approx(8 / 3)
    assert masked_mean(values, mask, count=4.0).item() == 2.0
    assert masked_mean(values, torch.zeros_like(mask)).item() == 0.0
