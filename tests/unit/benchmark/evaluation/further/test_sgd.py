from __future__ import annotations

from dataclasses import replace

import pytest

from benchmark.data.datasets import Split
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.further import sgd
from benchmark.evaluation.further.sgd import linear_cnnjepa, linear_sgd
from benchmark.evaluation.further.training import Descent
from methods.views import ViewSpec


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Schedules of two epochs."""
    monkeypatch.setattr(sgd, "SGD", Descent(2, 64, ViewSpec()))
    monkeypatch.setattr(sgd, "ADAM_EPOCHS", 2)


@pytest.mark.parametrize("protocol", [linear_sgd, linear_cnnjepa])
def test_scores_are_repeatable_and_the_encoder_is_unchanged(assert_repeatable, protocol):
    assert_repeatable(protocol)


def test_features_that_tell_the_class_score_in_full(separable, monkeypatch):
    monkeypatch.setattr(sgd, "ADAM_LR", 0.1)  # there are few images, hence few steps
    monkeypatch.setattr(sgd, "ADAM_EPOCHS", 20)
    assert linear_cnnjepa(separable) == {"linear_cnnjepa_top1": 100.0, "linear_cnnjepa_top5": 100.0}


def test_the_test_split_chooses_nothing(subject):
    scores = linear_sgd(subject)
    wrong = Split(subject.data.test.images, (subject.data.test.labels + 1) % 10)
    shifted = linear_sgd(replace(subject, data=replace(subject.data, test=wrong)))
    for name in ("linear_sgd_validation_top1", "linear_sgd_lr"):
        assert shifted[name] == scores[name]
    assert shifted["linear_sgd_top1"] != scores["linear_sgd_top1"]


def test_learning_rates_are_multiples_of_the_batch_over_256(subject):
    assert linear_sgd(subject)["linear_sgd_lr"] in [lr * 64 / 256 for lr in sgd.LEARNING_RATES]


@pytest.mark.parametrize("protocol", [linear_sgd, linear_cnnjepa])
def test_an_encoder_that_is_not_finite_is_an_error(broken, protocol):
    with pytest.raises(NonFiniteError, match="not finite"):
        protocol(broken)
