"""Final scores, as a record holds them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.evaluation.subject import probe_data
from benchmark.machine.ranks import Ranks
from benchmark.records.schema import Metrics, TrialMetrics
from benchmark.runs.build import build_method
from benchmark.runs.probing import ProbeClock
from benchmark.runs.scores import final_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec

CPU = torch.device("cpu")
HISTORY: list[dict[str, Any]] = [
    {"kind": "train", "step": 1, "loss": 3.0},
    {"kind": "evaluation", "step": 2, "progress": 1.0, "linear_top1": 12.0, "knn20": 11.0, "knn200": 10.0,
     "feature_std": 0.5, "rankme": 4.0},
    {"kind": "train", "step": 2, "loss": 2.0},
]  # fmt: skip


@pytest.mark.slow
def test_both_encoders_are_scored_and_the_history_is_kept(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, notes: Any
) -> None:
    (spec,) = make_specs("cnn_jepa")
    method = build_method(spec, dataset, Ranks(CPU))
    metrics, primary = final_metrics(spec, method, HISTORY, probe_data(dataset, 32), CPU, ProbeClock(notes))
    assert primary.info.weights == "ema"
    assert notes.lines == [
        "probing final scores of the online encoder (1 of 2)",
        "probing final scores of the ema encoder (2 of 2)",
    ]
    assert isinstance(metrics, Metrics) and set(metrics.encoders) == {"online", "ema"} and metrics.primary == "ema"
    assert metrics.final_loss == 2.0 and [point.knn20 for point in metrics.validation] == [11.0]
    assert metrics.extra == {} and metrics.trainable_parameters > metrics.backbone_parameters > 0


def test_a_method_with_a_classifier_of_its_own_is_tested_by_it_too(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, notes: Any
) -> None:
    (spec,) = make_specs("supervised")
    method = build_method(spec, dataset, Ranks(CPU))
    data = probe_data(dataset, 32)
    metrics, _ = final_metrics(spec, method, [], data, CPU, ProbeClock(notes))
    logits = method.classify(data.normalise(dataset.test.images.read(torch.arange(len(dataset.test)))))
    assert isinstance(metrics, Metrics)
    expected = 100.0 * (logits.argmax(1) == dataset.test.labels).float().mean().item()
    assert metrics.extra["classifier_top1"] == pytest.approx(expected, abs=1e-3)
    assert metrics.final_loss is None


@pytest.mark.slow
def test_a_trials_scores_are_those_of_the_validation_split(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, notes: Any
) -> None:
    (spec,) = make_specs("random_init")
    method, data = build_method(spec, dataset, Ranks(CPU)), probe_data(dataset, 32)
    clock = ProbeClock(notes)
    trial, _ = final_metrics(replace(spec, purpose="trial"), method, [], data, CPU, clock)
    result, primary = final_metrics(spec, method, [], data, CPU, clock)
    assert not primary.info.recalibrate  # it is exported as it was scored
    assert isinstance(trial, TrialMetrics) and isinstance(result, Metrics)
    assert trial.scores.linear_top1 == result.scores.linear_validation_top1
    assert trial.scores.linear_strength == result.scores.linear_strength
