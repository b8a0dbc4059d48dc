from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from benchmark.data.datasets import Split
from benchmark.errors import UserError
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.further import frozen
from benchmark.evaluation.further.frozen import few_labels, lowlevel, lowshot, ridge_r2, transfer
from benchmark.evaluation.logistic import STRENGTHS, standardisation


@pytest.fixture(autouse=True)
def two_draws(monkeypatch):
    monkeypatch.setattr(frozen, "DRAWS", 2)


def test_few_labels_are_a_share_of_each_class_and_the_same_for_everybody():
    labels = torch.arange(5).repeat_interleave(torch.tensor([100, 40, 10, 3, 1]))
    for share, expected in ((0.1, [10, 4, 1, 1, 1]), (0.01, [1, 1, 1, 1, 1])):
        chosen = few_labels(labels, share, 0)
        assert labels[chosen].bincount().tolist() == expected
        assert len(chosen.unique()) == len(chosen)
        assert torch.equal(chosen, few_labels(labels, share, 0))
    assert not torch.equal(few_labels(labels, 0.1, 0), few_labels(labels, 0.1, 1))


def test_features_that_tell_the_class_score_in_full(separable):
    assert lowshot(separable) == {
        "lowshot1_top1": 100.0,
        "lowshot1_draws_sd": 0.0,
        "lowshot10_top1": 100.0,
        "lowshot10_draws_sd": 0.0,
    }
    assert transfer(separable) == {"linear_top1": 100.0, "linear_top5": 100.0, "knn20": 100.0, "knn200": 100.0}


def test_low_shot_scores_are_means_over_draws(separable, monkeypatch):
    top1 = iter((10.0, 20.0, 30.0, 50.0))
    monkeypatch.setattr(frozen, "linear_probe", lambda *_, **__: {"linear_top1": next(top1)})
    assert lowshot(separable) == {
        "lowshot1_top1": 15.0,
        "lowshot1_draws_sd": pytest.approx(50**0.5),
        "lowshot10_top1": 40.0,
        "lowshot10_draws_sd": pytest.approx(200**0.5),
    }


@pytest.mark.parametrize("protocol", [lowshot, transfer])
def test_features_that_are_not_finite_are_an_error(broken, protocol):
    with pytest.raises(NonFiniteError, match="not finite"):
        protocol(broken)


def test_ridge_is_scikit_learns_at_the_strength_that_validation_chooses():
    draw = torch.Generator().manual_seed(0)
    parts = []
    for rows in (80, 40, 60):
        features = torch.randn(rows, 30, generator=draw) * 5 + 2
        values = features[:, :3].sum(1) + torch.randn(rows, generator=draw) * 8
        parts.append((features, values))
    mean, scale = (part.numpy() for part in standardisation(parts[0][0]))

    def standard(features):
        return (features.double().numpy() - mean) / scale

    fits = [Ridge(alpha=s * 80).fit(standard(parts[0][0]), parts[0][1].numpy()) for s in STRENGTHS]
    validation, test = ([fit.score(standard(part[0]), part[1].numpy()) for fit in fits] for part in parts[1:])
    assert ridge_r2(*parts) == pytest.approx(test[int(np.argmax(validation))], abs=1e-9)
    assert max(test) > 0.1


def test_ridge_recovers_a_linear_function_and_finds_nothing_in_noise():
    draw = torch.Generator().manual_seed(1)
    features = [torch.randn(rows, 8, generator=draw) for rows in (400, 100, 200)]
    line = [(part, part @ torch.arange(8.0)) for part in features]
    noise = [(part, torch.randn(len(part), generator=draw)) for part in features]
    assert ridge_r2(*line) == pytest.approx(1.0, abs=1e-4)
    assert -0.2 < ridge_r2(*noise) < 0.1


def test_low_level_factors_need_a_dataset_that_knows_them(subject):
    scores = lowlevel(subject)
    assert set(scores) == {"count_top1", "count_most_frequent", "scale_r2", "x_r2", "y_r2"}
    train, test = subject.data.train.factors["count"], subject.data.test.factors["count"]
    assert scores["count_most_frequent"] == pytest.approx(100 * float((test == train.mode().values).double().mean()))
    assert all(scores[name] <= 1.0 for name in ("scale_r2", "x_r2", "y_r2"))
    blind = replace(subject.data, test=Split(subject.data.test.images, subject.data.test.labels))
    with pytest.raises(UserError, match="needs properties of scenes"):
        lowlevel(replace(subject, data=blind))
