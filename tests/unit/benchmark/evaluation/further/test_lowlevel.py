from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from benchmark.data.datasets import Split
from benchmark.errors import UserError
from benchmark.evaluation.further.lowlevel import lowlevel, ridge_r2
from benchmark.evaluation.logistic import STRENGTHS, standardisation


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
