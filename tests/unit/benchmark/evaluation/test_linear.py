from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmark.evaluation.linear import STRENGTHS, fit, linear_probe

CLASSES = 6


def problem(rows, *, seed=0, classes=CLASSES, dimension=20, separation=0.6):
    """Correlated, positive features of unlike scale, as a network's are."""
    fixed = torch.Generator().manual_seed(100)
    centres = torch.randn(classes, dimension, generator=fixed) * separation
    mixing = torch.randn(dimension, dimension, generator=fixed)
    scales = torch.logspace(-2, 2, dimension)
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=draw)
    latent = centres[labels] + torch.randn(rows, dimension, generator=draw)
    return (latent @ mixing).relu() * scales, labels


def objective(weights, bias, standard, labels, strength):
    scores = standard @ weights.T + bias
    top = scores.max(axis=1, keepdims=True)
    normaliser = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
    return (normaliser - scores[np.arange(len(labels)), labels]).mean() + strength / 2 * (weights**2).sum()


@pytest.mark.parametrize("strength", [1.0, 0.01, 1e-4])
def test_the_optimum_is_scikit_learns(strength):
    features, labels = problem(600)
    held_out, held_out_labels = problem(400, seed=1)
    ours = fit(features, labels, CLASSES, [strength])
    scaler = StandardScaler().fit(features.double().numpy())
    standard = scaler.transform(features.double().numpy())
    theirs = LogisticRegression(C=1 / (strength * len(labels)), tol=1e-8, max_iter=20_000).fit(standard, labels)
    reference = objective(theirs.coef_, theirs.intercept_, standard, labels.numpy(), strength)
    reached = objective(ours.weights_SKD[0].numpy(), ours.bias_SK[0].numpy(), standard, labels.numpy(), strength)
    assert reached == pytest.approx(reference, abs=1e-5)
    assert float(ours.losses_S[0]) == pytest.approx(reference, abs=1e-5)
    result = linear_probe(
        (features, labels), (held_out, held_out_labels), (held_out, held_out_labels), CLASSES, strengths=[strength]
    )
    accuracy = 100 * theirs.score(scaler.transform(held_out.double().numpy()), held_out_labels)
    assert result.test_top1 == pytest.approx(accuracy, abs=0.5)
    assert result.validation_top1 == result.test_top1


def test_strengths_solved_together_are_those_solved_alone():
    features, labels = problem(500)
    together = fit(features, labels, CLASSES, tolerance=1e-5)
    for index, strength in enumerate(STRENGTHS):
        alone = fit(features, labels, CLASSES, [strength], tolerance=1e-5)
        assert float(alone.losses_S[0]) == pytest.approx(float(together.losses_S[index]), abs=1e-7)
    assert together.losses_S.tolist() == sorted(together.losses_S.tolist(), reverse=True)


def test_the_strength_is_relative_to_the_mean_loss():
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


def test_scale_shift_and_constant_columns_change_nothing():
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


def test_a_collapsed_encoder_is_at_chance_not_an_error():
    labels = torch.arange(60) % 3
    result = linear_probe((torch.ones(60, 4), labels), (torch.ones(30, 4), labels[:30]), None, 3)
    assert result.validation_top1 == pytest.approx(100 / 3)


def test_the_choice_never_sees_the_test_split():
    train, validation, test = problem(300), problem(200, seed=1), problem(200, seed=2)
    shuffled = test[1][torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    true = linear_probe(train, validation, test, CLASSES)
    false = linear_probe(train, validation, (test[0], shuffled), CLASSES)
    without = linear_probe(train, validation, None, CLASSES)
    assert true.strength == false.strength == without.strength
    assert true.validation_top1 == false.validation_top1 == without.validation_top1
    assert true.test_top1 > false.test_top1 + 20
    assert without.test_top1 is None
    assert without.test_top5 is None


def test_the_chosen_strength_is_the_best_on_validation():
    train, validation = problem(120, separation=0.3), problem(500, seed=1, separation=0.3)
    scores = {
        strength: linear_probe(train, validation, None, CLASSES, strengths=[strength]).validation_top1
        for strength in STRENGTHS
    }
    chosen = linear_probe(train, validation, None, CLASSES)
    assert chosen.validation_top1 == max(scores.values()) > min(scores.values())
    assert scores[chosen.strength] == max(scores.values())


@pytest.mark.parametrize("strengths", [(1e-3, 1e-1, 1e-2), (1e-1, 1e-2, 1e-3)])
def test_separable_blobs_score_100_and_ties_go_to_the_stronger(strengths):
    train, held_out = (problem(200, seed=seed, separation=30.0) for seed in (0, 1))
    result = linear_probe(train, held_out, held_out, CLASSES, strengths=strengths)
    assert (result.validation_top1, result.test_top1, result.test_top5) == (100.0, 100.0, 100.0)
    assert result.strength == 0.1


def test_top5_against_a_sorted_list_and_with_few_classes():
    train = problem(500, classes=12, separation=0.2)
    test = problem(300, seed=1, classes=12, separation=0.2)
    result = linear_probe(train, test, test, 12, strengths=[0.01])
    solution = fit(*train, 12, [0.01])
    scores = ((test[0].double() - solution.mean_D) / solution.scale_D) @ solution.weights_SKD[0].T + solution.bias_SK
    order = scores.argsort(dim=1, descending=True)
    assert result.test_top5 == pytest.approx(100 * (order[:, :5] == test[1][:, None]).any(1).double().mean().item())
    assert result.test_top1 == pytest.approx(100 * (order[:, 0] == test[1]).double().mean().item())
    assert result.test_top1 < result.test_top5 < 100
    few = [(features, labels % 4) for features, labels in (train, test)]
    assert linear_probe(few[0], few[1], few[1], 4).test_top5 == 100.0


def test_the_same_input_gives_the_same_bits():
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


def test_bad_input_is_refused_by_name():
    good = problem(50)
    broken = good[0].clone()
    broken[3, 4] = math.nan
    with pytest.raises(ValueError, match="test features: 1 of 50 feature vectors are not finite"):
        linear_probe(good, good, (broken, good[1]), CLASSES)
    with pytest.raises(ValueError, match="validation features: no features"):
        linear_probe(good, (good[0][:0], good[1][:0]), None, CLASSES)
    with pytest.raises(ValueError, match=r"training features: labels from 0 to 5; expected 0 to 2"):
        linear_probe(good, good, None, 3)
    with pytest.raises(ValueError, match=r"training features: labels of shape \(49,\) for 50"):
        linear_probe((good[0], good[1][1:]), good, None, CLASSES)
    with pytest.raises(ValueError, match="validation features have dimension 19, training 20"):
        linear_probe(good, (good[0][:, 1:], good[1]), None, CLASSES)
    with pytest.raises(ValueError, match="all positive"):
        linear_probe(good, good, None, CLASSES, strengths=[0.1, 0.0])
