from __future__ import annotations

import pytest
import torch

from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.further import frozen
from benchmark.evaluation.further.frozen import few_labels, lowshot, transfer
from benchmark.evaluation.linear import LinearResult


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
    monkeypatch.setattr(frozen, "linear_probe", lambda *_, **__: LinearResult(1.0, 0.0, next(top1), 0.0))
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
