from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_costs import GPU_A, GPU_B, make_cost, make_priced
from studies import make_front_study

from benchmark.analysis.calibration import Prices
from benchmark.analysis.comparison import rows_of
from benchmark.analysis.fronts import (
    compared_cost,
    front_rows,
    front_trials,
    fronts,
    pareto_front,
    scored_trials,
    trial_cost,
)


def test_front_keeps_only_what_more_cost_improves() -> None:
    #         dominated     front         equal cost, worse   front        equal twin
    points = [(2.0, 30.0), (1.0, 40.0), (1.0, 35.0), (3.0, 50.0), (3.0, 50.0), (4.0, 50.0)]
    assert pareto_front(points) == [1, 3]
    assert pareto_front([]) == []


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12))
def test_front_is_exactly_the_undominated_points(points: list[tuple[int, int]]) -> None:
    front = {points[i] for i in pareto_front([(float(c), float(a)) for c, a in points])}
    undominated = {p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)}
    assert front == undominated


def test_front_leaves_out_supervised_and_what_random_init_beats(make_record: Any) -> None:
    records = [
        make_record("supervised", top1=80.0, seconds=10.0),
        make_record("random_init", top1=33.0),
        make_record("ijepa", top1=32.0, seconds=20.0),
        make_record("cnn_jepa", top1=40.0, seconds=50.0),
        make_record("byol", top1=39.0, seconds=60.0),
        make_record("simclr", top1=45.0, seconds=90.0),
    ]
    assert [row.first.entry for row in front_rows(rows_of(records))] == ["cnn_jepa", "simclr"]
    unsafe = make_record("vicreg", top1=50.0, seconds=5.0, flags=["busy machine"])
    assert [row.first.entry for row in front_rows(rows_of([*records, unsafe]))] == ["cnn_jepa", "simclr"]


def test_networks_of_different_kinds_have_fronts_of_their_own(make_record: Any) -> None:
    vit = {"backbone": "vit_tiny"}
    records = [
        make_record("random_init", top1=33.0),
        make_record("cnn_jepa", top1=36.0, seconds=50.0),
        make_record("simclr", top1=43.0, seconds=90.0),
        make_record("simclr_vit", method="simclr", top1=47.0, seconds=40.0, **vit),
        make_record("ijepa", top1=38.0, seconds=30.0, **vit),
    ]
    named = {kind: [row.first.entry for row in rows] for kind, rows in fronts(rows_of(records)).items()}
    assert named == {"CNN": ["cnn_jepa", "simclr"], "ViT": ["ijepa", "simclr_vit"]}
    # Without an untrained ViT, that of the CNNs has to be exceeded; with one, its own.
    records.append(make_record("random_init_vit", method="random_init", top1=39.0, **vit))
    named = {kind: [row.first.entry for row in rows] for kind, rows in fronts(rows_of(records)).items()}
    assert named == {"CNN": ["cnn_jepa", "simclr"], "ViT": ["simclr_vit"]}


def test_under_a_time_budget_the_length_of_the_last_step_decides_nothing(make_record: Any) -> None:
    values = (("byol", 45.0, 60.2), ("simclr", 44.0, 60.1), ("vicreg", 40.0, 60.0))
    timed = [make_record(e, top1=t, seconds=s, budget={"wall_clock": 60.0}) for e, t, s in values]
    assert [row.first.entry for row in front_rows(rows_of(timed))] == ["byol"]


def test_under_a_calibrated_budget_the_cost_is_the_limit_on_the_hardware_that_set_the_steps() -> None:
    (first,) = runs = [make_priced("byol")]
    cost = make_cost(runs, {"byol": 0.1}, {**GPU_A, "devices": 2})
    seconds, hours = (
        make_priced("byol", budget={kind: limit, "step_cost": cost.key})
        for kind, limit in (("calibrated_time", 71.0), ("calibrated_device_hours", 0.04))
    )
    prices = Prices((cost,))
    assert [compared_cost(row) for row in rows_of([seconds, hours], prices)] == pytest.approx([142.0, 144.0])
    assert [compared_cost(row) for row in rows_of([first], prices)] == pytest.approx([140.0])  # 700 steps, 2 devices
    other = Prices((make_cost(runs, {"byol": 0.2}, GPU_B),))
    assert [compared_cost(row) for row in rows_of([seconds], other)] == pytest.approx([140.0])
    assert [compared_cost(row) for row in rows_of([seconds])] == [100.0]  # its own clock


def test_rows_of_a_flagged_step_cost_are_on_no_front() -> None:
    runs = [make_priced("byol", top1=45.0, flags=["busy machine"]), make_priced("simclr", top1=40.0)]
    for flags, found in (([], ["simclr", "byol"]), (["shared device"], [])):
        prices = Prices((make_cost(runs, {"byol": 0.2, "simclr": 0.1}, flags=flags),))
        assert [row.first.entry for row in front_rows(rows_of(runs, prices))] == found


def test_collapsed_rows_do_not_compete(make_record: Any) -> None:
    records = [make_record("byol", top1=50.0, seconds=10.0, status="collapsed")]
    records += [make_record(e, top1=t, seconds=s) for e, t, s in (("simclr", 45.0, 90.0), ("vicreg", 40.0, 60.0))]
    assert [row.first.entry for row in front_rows(rows_of(records))] == ["vicreg", "simclr"]


def test_a_trial_costs_the_mean_of_its_runs() -> None:
    (study,) = make_front_study().studies
    assert [trial.point for trial in front_trials(study)] == [0, 1, 3]
    assert [trial_cost(trial) for trial in front_trials(study)] == pytest.approx([0.1, 0.2, 0.5])
    assert 5 not in [trial.point for trial in scored_trials(study)]  # pruned
