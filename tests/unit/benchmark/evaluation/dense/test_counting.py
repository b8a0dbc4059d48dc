"""Counting by linear regression."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from benchmark.evaluation.dense.counting import count_errors, counting, ridge
from benchmark.evaluation.logistic import STRENGTHS
from benchmark.evaluation.protocols import NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.evaluation.subject import Subject

    Make = Callable[..., Subject]


def test_errors_are_those_of_numpy() -> None:
    draw = np.random.default_rng(0)
    truth, guess = draw.integers(0, 20, 50), draw.uniform(0, 20, 50)
    errors = count_errors(torch.tensor(guess), torch.tensor(truth))
    assert errors["count_mae"] == pytest.approx(np.mean(abs(guess - truth)))
    assert errors["count_rmse"] == pytest.approx(np.sqrt(np.mean((guess - truth) ** 2)))
    assert errors["count_exact"] == pytest.approx(100 * np.mean(np.round(guess) == truth))


def test_the_fit_is_scikit_learns_at_the_strength_that_validation_chooses() -> None:
    draw = torch.Generator().manual_seed(0)
    parts = []
    for rows in (60, 30, 40):
        features = torch.randn(rows, 20, generator=draw) * 4 + 1
        parts.append(
            (features, (features[:, 0] + 5 + 2 * torch.randn(rows, generator=draw)).round().clamp_min(0).double())
        )
    scaler = StandardScaler().fit(parts[0][0].double().numpy())
    inputs = [scaler.transform(features.double().numpy()) for features, _ in parts]
    fits = [Ridge(alpha=s * 60).fit(inputs[0], parts[0][1].numpy()) for s in STRENGTHS]
    errors = [np.mean(abs(fit.predict(inputs[1]).clip(0) - parts[1][1].numpy())) for fit in fits]
    best, predicted = ridge(*parts)
    assert best == int(np.argmin(errors))
    assert predicted.tolist() == pytest.approx(fits[best].predict(inputs[2]).clip(0).tolist(), abs=1e-6)


def test_the_mean_colour_tells_the_number_and_constants_do_not(seeing: Make) -> None:
    scores = counting(seeing())
    assert scores["count_mae"] < 0.6 * scores["count_mae_floor"]
    assert counting(seeing()) == scores
    floor = counting(seeing("constant"))
    subject = seeing()
    test, median = subject.data.test.factors["count"], subject.data.train.factors["count"].median()
    assert floor["count_mae_floor"] == pytest.approx(float((test - median).abs().mean()))
    mean = subject.data.train.factors["count"].double().mean()
    assert floor["count_mae"] == pytest.approx(float((test - mean).abs().mean()), rel=1e-6)


def test_a_dataset_without_numbers_is_refused(seeing: Make) -> None:
    subject = seeing()
    blind = replace(subject, data=replace(subject.data, validation=replace(subject.data.validation, factors={})))
    with pytest.raises(NotApplicableError, match="needs numbers of objects, which coloured does not have"):
        counting(blind)
