"""Ridge regression in closed form."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import Ridge

from benchmark.evaluation.logistic import STRENGTHS
from benchmark.evaluation.ridge import ridge_weights


def test_weights_are_scikit_learns_for_every_strength() -> None:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 6, generator=draw, dtype=torch.float64)
    values = inputs @ torch.arange(6.0, dtype=torch.float64) + torch.randn(50, generator=draw, dtype=torch.float64)
    weights = ridge_weights(inputs.T @ inputs / 50, inputs.T @ values, 50)
    assert weights.shape == (6, len(STRENGTHS))
    for column, strength in zip(weights.T, STRENGTHS, strict=True):
        expected = Ridge(alpha=50 * strength, fit_intercept=False).fit(inputs.numpy(), values.numpy()).coef_
        assert column.tolist() == pytest.approx(expected.tolist(), abs=1e-9)


def test_a_direction_without_spread_gets_no_weight() -> None:
    weights = ridge_weights(torch.diag(torch.tensor([1.0, 0.0]).double()), torch.tensor([4.0, 0.0]).double(), 4)
    assert bool((weights[1] == 0).all()) and bool(weights.isfinite().all())
