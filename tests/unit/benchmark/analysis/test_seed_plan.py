"""How many seeds a sweep needs, from a study and from runs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from studies import make_study, study_of

from benchmark.analysis.power import seeds_needed, smallest_difference, upper_spread
from benchmark.analysis.seed_plan import SeedPlan, SeedSpread, plan_from_runs, plan_of_study, spread_of_runs


def test_a_study_is_planned_from_its_own_paired_differences() -> None:
    scores: dict[tuple[object, ...], list[float]] = {
        (1,): [40.0, 41.0, 42.0], (2,): [41.0, 43.0, 45.0], (3,): [44.0, 48.0, 52.0],
    }  # fmt: skip
    plans = plan_of_study(make_study(studies=[study_of(scores, reference={"depth": "2"})]))
    assert [(plan.comparison, plan.measured, plan.seeds, plan.comparisons) for plan in plans] == [
        ("1 against 2", 3, 3, 2),
        ("3 against 2", 3, 3, 2),
    ]
    assert [plan.spread for plan in plans] == [pytest.approx(1.0), pytest.approx(2.0)]
    narrow, wide = plans
    assert narrow.detectable == pytest.approx(smallest_difference(1.0, 3, 2)) == pytest.approx(wide.detectable / 2)
    assert wide.needed(2.0) == seeds_needed(2.0, 2.0, 2) and wide.needed(2.0) != narrow.needed(2.0)
    assert wide.needed_at_most(2.0) == seeds_needed(2.0, upper_spread(2.0, 3), 2)
    assert narrow.needed(50.0) == 3  # rule 19


def test_two_seeds_are_enough_to_plan_and_one_is_not() -> None:
    scores: dict[tuple[object, ...], list[float]] = {(1,): [40.0, 41.0], (2,): [41.0, 43.0]}
    (plan,) = plan_of_study(make_study(studies=[study_of(scores)]))
    assert (plan.spread, plan.seeds) == (pytest.approx(math.sqrt(0.5)), 2)
    alone: dict[tuple[object, ...], list[float]] = {(1,): [40.0], (2,): [41.0]}
    assert plan_of_study(make_study(studies=[study_of(alone)])) == []


def test_runs_give_a_spread_before_the_sweep(make_record: Any) -> None:
    records = [make_record("cnn_jepa", seed, top1=40.0 + 2 * seed) for seed in range(3)]
    records += [make_record("cnn_jepa", seed, top1=45.0, budget={"epochs": 2}) for seed in range(2)]
    records += [make_record("byol", 0)]
    spread = spread_of_runs(records, "cnn_jepa")
    assert spread == SeedSpread("cnn_jepa", 2.0, 3, "10 epochs")
    assert spread_of_runs(records, "byol") is None and spread_of_runs(records, "simclr") is None
    plan = plan_from_runs(spread, 4, "3", "cnn_jepa.predictor_depth", 5)
    assert plan == SeedPlan("cnn_jepa", "cnn_jepa.predictor_depth", "each value against 3", 2.0 * math.sqrt(2), 3, 5, 3)
    assert plan_from_runs(spread, 4, None, "x", 5).comparisons == 6


def test_a_single_seed_detects_nothing() -> None:
    plan = SeedPlan("e", "p", "c", spread=1.0, measured=3, seeds=1, comparisons=1)
    assert plan.detectable == math.inf and plan.needed(1.0) == 10
    assert SeedPlan("e", "p", "c", 1.0, 3, 3, 1).needed(1e-4) is None
