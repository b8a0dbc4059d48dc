"""The choice of a strength, and its accuracy on the test split."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmark.evaluation.linear import linear_probe
from benchmark.evaluation.logistic import STRENGTHS, fit

CLASSES = 6


def test_the_accuracy_is_scikit_learns(problem):
    train, held_out = problem(600), problem(400, seed=1)
    scaler = StandardScaler().fit(train[0].double().numpy())
    standard = scaler.transform(train[0].double().numpy())
    theirs = LogisticRegression(C=1 / (0.01 * 600), tol=1e-8, max_iter=20_000).fit(standard, train[1])
    accuracy = 100 * theirs.score(scaler.transform(held_out[0].double().numpy()), held_out[1])
    result = linear_probe(train, held_out, held_out, CLASSES, strengths=[0.01])
    assert result["linear_top1"] == pytest.approx(accuracy, abs=0.5)
    assert result["linear_validation_top1"] == result["linear_top1"]


def test_a_collapsed_encoder_is_at_chance_not_an_error():
    labels = torch.arange(60) % 3
    result = linear_probe((torch.ones(60, 4), labels), (torch.ones(30, 4), labels[:30]), None, 3)
    assert result["linear_top1"] == pytest.approx(100 / 3)


def test_the_choice_never_sees_the_test_split(problem):
    train, validation, test = problem(300), problem(200, seed=1), problem(200, seed=2)
    shuffled = test[1][torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    true = linear_probe(train, validation, test, CLASSES)
    false = linear_probe(train, validation, (test[0], shuffled), CLASSES)
    without = linear_probe(train, validation, None, CLASSES)
    for name in ("linear_strength", "linear_validation_top1"):
        assert true[name] == false[name]
    assert without == {"linear_top1": true["linear_validation_top1"], "linear_strength": true["linear_strength"]}
    assert true["linear_top1"] > false["linear_top1"] + 20


def test_the_chosen_strength_is_the_best_on_validation(problem):
    train, validation = problem(120, separation=0.3), problem(500, seed=1, separation=0.3)
    scores = {
        strength: linear_probe(train, validation, None, CLASSES, strengths=[strength])["linear_top1"]
        for strength in STRENGTHS
    }
    chosen = linear_probe(train, validation, None, CLASSES)
    assert chosen["linear_top1"] == max(scores.values()) > min(scores.values())
    assert scores[chosen["linear_strength"]] == max(scores.values())


@pytest.mark.parametrize("strengths", [(1e-3, 1e-1, 1e-2), (1e-1, 1e-2, 1e-3)])
def test_separable_blobs_score_100_and_ties_go_to_the_stronger(strengths, problem):
    train, held_out = (problem(200, seed=seed, separation=30.0) for seed in (0, 1))
    result = linear_probe(train, held_out, held_out, CLASSES, strengths=strengths)
    assert result == {
        "linear_top1": 100.0,
        "linear_top5": 100.0,
        "linear_strength": 0.1,
        "linear_validation_top1": 100.0,
    }


def test_top5_against_a_sorted_list_and_with_few_classes(problem):
    train = problem(500, classes=12, separation=0.2)
    test = problem(300, seed=1, classes=12, separation=0.2)
    result = linear_probe(train, test, test, 12, strengths=[0.01])
    solution = fit(*train, 12, [0.01])
    scores = ((test[0].double() - solution.mean_D) / solution.scale_D) @ solution.weights_SKD[0].T + solution.bias_SK
    order = scores.argsort(dim=1, descending=True)
    assert result["linear_top5"] == pytest.approx(
        100 * (order[:, :5] == test[1][:, None]).any(1).double().mean().item()
    )
    assert result["linear_top1"] == pytest.approx(100 * (order[:, 0] == test[1]).double().mean().item())
    assert result["linear_top1"] < result["linear_top5"] < 100
    few = [(features, labels % 4) for features, labels in (train, test)]
    assert linear_probe(few[0], few[1], few[1], 4)["linear_top5"] == 100.0


def test_bad_input_is_refused_by_name(problem):
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
