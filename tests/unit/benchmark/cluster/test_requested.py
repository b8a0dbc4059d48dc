"""Time limits by step costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cluster import requested
from benchmark.cluster.requested import DEFAULT, plan_jobs
from benchmark.cost.budget import Budget
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.runs.prices import CostSource

if TYPE_CHECKING:
    from pathlib import Path


class _Price:
    """The price of a step: two seconds."""

    source = "step cost 1234"

    def __init__(self, seconds: float) -> None:
        self.seconds_per_step = type("Interval", (), {"median": seconds})
        self.entry = type("Entry", (), {"flops_per_step": None})
        self.cost = type("Cost", (), {"hardware": type("Hardware", (), {"name": "a100"})})


class _Dataset:
    def trained_on(self, method: object) -> Any:
        return type("Split", (), {"images": range(100)})


def _spec(budget: Budget, *, trainable: bool = True) -> Any:
    experiment = type("Experiment", (), {"precision": "32", "batch_size": 10})
    method = type("Method", (), {"trainable": trainable})
    return type("Spec", (), {"budget": budget, "step_key": "k", "experiment": experiment, "method": method})


@pytest.mark.parametrize(
    ("budget", "training", "limit", "source"),
    [
        (Budget("steps", 3600), 7200.0, 10_800.0, "step cost 1234, a100"),  # 1.25 x 7200 + 1800
        (Budget("epochs", 2), 40.0, 2400.0, "step cost 1234, a100"),
        (Budget("wall_clock", 600), 600.0, 3000.0, "its budget"),
        (Budget("flops", 1e9), None, DEFAULT, "no FLOPs in the step cost"),
    ],
)
def test_a_limit_is_a_quarter_more_than_the_training_and_half_an_hour(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    budget: Budget,
    training: float | None,
    limit: float,
    source: str,
) -> None:
    monkeypatch.setattr(requested, "slowest_prices", lambda costs, devices: {("k", "32"): _Price(2.0)})
    costs: Any = CostSource(tmp_path, "")
    dataset: Any = _Dataset()
    cluster = ClusterSpec(nodes=2)
    (job,) = plan_jobs([_spec(budget)], cluster, dataset, costs)
    assert (job.training, job.requested, job.source) == (training, limit, source)
    assert job.device_hours == (None if training is None else training * 2 / 3600)
    (job,) = plan_jobs([_spec(budget)], ClusterSpec(time=3600), dataset, costs)
    assert job.requested == 3600


def test_without_a_price_it_is_the_default_and_nothing_takes_no_time(tmp_path: Path) -> None:
    costs, dataset = CostSource(tmp_path, ""), _Dataset()
    specs = [_spec(Budget("steps", 10)), _spec(Budget("steps", 10), trainable=False)]
    unknown, nothing = plan_jobs(specs, ClusterSpec(), dataset, costs)  # type: ignore[arg-type]
    assert (unknown.training, unknown.requested, unknown.source) == (None, DEFAULT, "no step cost")
    assert (nothing.training, nothing.requested) == (0.0, 1800.0)
