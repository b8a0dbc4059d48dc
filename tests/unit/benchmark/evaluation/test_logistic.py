"""The optimum that L-BFGS reaches, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmark.evaluation.logistic import STRENGTHS, fit

CLASSES = 6


def objective(weights, bias, standard, labels, strength):
    scores = standard @ weights.T + bias
    top = scores.max(axis=1, keepdims=True)
    normaliser = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
    return (normaliser - scores[np.arange(len(labels)), labels]).mean() + strength / 2 * (weights**2).sum()


@pytest.mark.parametrize("strength", [1.0, 0.01, 1e-4])
def test_the_optimum_is_scikit_learns(strength, problem):
    features, labels = problem(600)
    ours = fit(features, labels, CLASSES, [strength])
    scaler = StandardScaler().fit(features.double().numpy())
    standard = scaler.transform(features.double().numpy())
    theirs = LogisticRegression(C=1 / (strength * len(labels)), tol=1e-8, max_iter=20_000).fit(standard, labels)
    reference = objective(theirs.coef_, theirs.intercept_, standard, labels.numpy(), strength)
    reached = objective(ours.weights_SKD[0].numpy(), ours.bias_SK[0].numpy(), standard, labels.numpy(), strength)
    assert reached == pytest.approx(reference, abs=1e-5)
    assert float(ours.losses_S[0]) == pytest.approx(reference, abs=1e-5)


def test_strengths_solved_together_are_those_solved_alone(problem):
    features, labels = problem(500)
    together = fit(features, labels, CLASSES, tolerance=1e-5)
    for index, strength in enumerate(STRENGTHS):
        alone = fit(features, labels, CLASSES, [strength], tolerance=1e-5)
        assert float(alone.losses_S[0]) == pytest.approx(float(together.losses_S[index]), abs=1e-7)
    assert together.losses_S.tolist() == sorted(together.losses_S.tolist(), reverse=True)


def test_the_strength_is_relative_to_the_mean_loss(problem):
    features, labels = problem(300)
    once = fit(features, labels, CLASSES, [0.01], tolerance=1e-5)
    twice = fit(torch.cat([features, features]), torch.cat([labels, labels]), CLASSES, [0.01], tolerance=1e-5)
    torch.testing.assert_close(once.weights_SKD, twice.weights_SKD, rtol=1e-3, atol=1e-4)


def test_the_bias_is_not_penalised():
    labels = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)
    features = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    solution = fit(features, labels, 3, [1e6], tolerance=1e-6)
    torch.testing.assert_close(
        solution.bias_SK[0].softmax(0), torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64), rtol=1e-4, atol=0
    )


def test_scale_shift_and_constant_columns_change_nothing(problem):
    features, labels = problem(400)
    plain = fit(features, labels, CLASSES, [0.01])
    dead = torch.zeros(400, 1)
    constant = torch.full((400, 1), 7.3)
    rounding = 1000.0 + 1e-4 * torch.randn(400, 1, generator=torch.Generator().manual_seed(0))
    dressed = fit(torch.cat([dead, features * 3 + 2, constant, rounding], dim=1), labels, CLASSES, [0.01])
    assert dressed.losses_S.item() == pytest.approx(plain.losses_S.item(), abs=1e-5)
    torch.testing.assert_close(dressed.weights_SKD[0, :, 1:21], plain.weights_SKD[0], rtol=0.02, atol=2e-3)
    assert dressed.weights_SKD[0, :, 0].abs().max() == 0.0
    assert dressed.scale_D[[0, 21, 22]].tolist() == [1.0, 1.0, 1.0]


def test_the_same_input_gives_the_same_bits(problem):
    features, labels = problem(300)
    first, second = fit(features, labels, CLASSES), fit(features, labels, CLASSES)
    assert torch.equal(first.weights_SKD, second.weights_SKD)
    assert torch.equal(first.losses_S, second.losses_S)


def test_more_dimensions_than_images():
    draw = torch.Generator().manual_seed(0)
    features, labels = torch.randn(40, 100, generator=draw), torch.arange(40) % 4
    solution = fit(features, labels, 4, [1e-3])
    standard = StandardScaler().fit_transform(features.double().numpy())
    theirs = LogisticRegression(C=1 / (1e-3 * 40), tol=1e-8, max_iter=20_000).fit(standard, labels)
    reference = objective(theirs.coef_, theirs.intercept_, standard, labels.numpy(), 1e-3)
    assert solution.losses_S.item() == pytest.approx(reference, abs=1e-4)
