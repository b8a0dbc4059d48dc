from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.calibration import NO_PRICES
from benchmark.analysis.ladder_curves import Ladder, entry_ladders, predict, predictions
from benchmark.errors import UserError


def ladder_of(make: Any, entry: str, values: dict[int, float], *, seeds: int = 1, **options: Any) -> list[Any]:
    """A record for each budget in epochs and seed, of training time in proportion."""
    return [
        make(entry, seed, top1=top1 + seed, seconds=10.0 * epochs, budget={"epochs": epochs}, **options)
        for epochs, top1 in values.items()
        for seed in range(seeds)
    ]


def only(records: list[Any]) -> Ladder:
    (ladder,) = entry_ladders(records, NO_PRICES)
    return ladder


def test_a_curve_has_every_seed_of_every_rung(make_record: Any) -> None:
    records = ladder_of(make_record, "byol", {16: 46.0, 1: 35.0, 4: 42.0}, seeds=2)
    records += ladder_of(make_record, "simclr", {4: 43.0})
    records += ladder_of(make_record, "random_init", {1: 33.0, 4: 33.0, 16: 33.0})  # trains nothing
    ladder = only(records)
    assert ladder.kind == "epochs" and [curve.entry for curve in ladder.curves] == ["byol", "simclr"]
    byol, simclr = ladder.curves
    assert [(rung.budget, rung.values) for rung in byol.curve.rungs] == [
        (1, (35.0, 36.0)), (4, (42.0, 43.0)), (16, (46.0, 47.0)),
    ]  # fmt: skip
    assert byol.cost(64) == 640.0
    # The sampling error of 43% on 10,000 test images, for want of a second seed.
    assert simclr.curve.noise == pytest.approx(0.495, abs=0.002)


def test_collapsed_runs_count_and_failed_ones_do_not(make_record: Any) -> None:
    records = ladder_of(make_record, "byol", {1: 35.0, 4: 42.0})
    records += [make_record("byol", 1, top1=12.0, budget={"epochs": 4}, status="collapsed")]
    records += [make_record("byol", 2, budget={"epochs": 4}, status="failed", measured=False)]
    (byol,) = only(records).curves
    assert byol.curve.rungs[1].values == (42.0, 12.0)


def test_what_cannot_be_compared_is_on_ladders_of_its_own(make_record: Any) -> None:
    records = ladder_of(make_record, "byol", {1: 35.0, 4: 42.0})
    records += ladder_of(make_record, "byol", {1: 35.0}, config={"batch_size": 64})
    records += [make_record("byol", budget={"wall_clock": 60.0})]
    elsewhere = {"cpu_model": "another"}
    records += [make_record("byol", budget={"wall_clock": 60.0}, environment=elsewhere)]
    records += [
        make_record("byol", budget={"calibrated_time": 60.0, "steps": 9, "step_cost": key * 16}) for key in ("ab", "cd")
    ]
    kinds = [ladder.kind for ladder in entry_ladders(records, NO_PRICES)]
    assert sorted(kinds) == ["calibrated_time"] * 2 + ["epochs"] * 2 + ["wall_clock"] * 2


def test_runs_of_several_machines_are_seeds_of_one_curve(make_record: Any) -> None:
    records = ladder_of(make_record, "byol", {1: 35.0}, seeds=2)
    records += ladder_of(make_record, "byol", {1: 35.0}, seeds=3, environment={"cpu_model": "another"})
    (byol,) = only(records).curves
    assert byol.curve.rungs[0].values == (35.0, 36.0, 37.0)


def test_entries_of_one_name_are_told_apart(make_record: Any) -> None:
    records = ladder_of(make_record, "byol", {1: 35.0})
    records += ladder_of(make_record, "byol", {1: 36.0}, experiment="warm", config={"method": {"lr": 0.1}})
    assert [curve.entry for curve in only(records).curves] == ["cifar10/byol", "warm/byol"]
    records = ladder_of(make_record, "byol", {1: 35.0})
    records += ladder_of(make_record, "byol", {1: 36.0}, config={"method": {"lr": 0.1}})
    names = [curve.entry for curve in only(records).curves]
    assert len(set(names)) == 2 and all(name.startswith("cifar10/byol (") for name in names)


def test_a_ladder_predicts_its_entries_and_pairs(make_record: Any) -> None:
    records = ladder_of(make_record, "byol", {1: 30.0, 4: 40.0, 16: 45.0, 32: 46.8}, seeds=2)
    records += ladder_of(make_record, "simclr", {1: 38.0, 4: 42.0, 16: 44.0, 32: 44.6}, seeds=2)
    records += ladder_of(make_record, "vicreg", {1: 38.0, 4: 42.0})
    records += ladder_of(make_record, "ijepa", {1: 38.0, 4: 42.0, 16: 44.0, 64: 45.0})
    prediction = predict(only(records), 64)
    assert [entry.entry for entry in prediction.entries] == ["byol", "simclr"]
    assert prediction.target_text == "64 epochs" and prediction.single == []
    assert prediction.left_out == (
        "a prediction needs at least 3 rungs of an entry, such as epochs=1,4,8; too few: vicreg with 2 (1 and 4 "
        "epochs)",
        "already measured there or beyond: ijepa",
    )
    (pair,) = prediction.pairs()
    assert (pair.first, pair.second) == ("byol", "simclr") and pair.probability > 0.8
    # The means are 40.5 and 42.5 at 4 epochs, 45.5 and 44.5 at 16.
    assert pair.crossing.budget is not None and 4.0 < pair.crossing.budget.median < 16.0
    assert prediction.check is not None and len(prediction.check.checks) == 3


def test_too_few_rungs_and_too_short_a_budget_are_refused(make_record: Any) -> None:
    few = only([*ladder_of(make_record, "byol", {2: 30.0, 4: 40.0}), *ladder_of(make_record, "simclr", {4: 40.0})])
    with pytest.raises(UserError) as caught:
        predict(few, 64)
    assert str(caught.value) == (
        "a prediction needs at least 3 rungs of an entry, such as epochs=2,4,8; too few: byol with 2 (2 and 4 epochs); "
        "simclr with 1 (4 epochs)"
    )
    enough = only(ladder_of(make_record, "byol", {1: 30.0, 4: 40.0, 16: 45.0}))
    with pytest.raises(UserError, match="the budget is 16 epochs, and the longest rung 16 epochs; a prediction is for"):
        predict(enough, 16)


def test_of_several_ladders_those_that_can_predict_do(make_record: Any) -> None:
    good = ladder_of(make_record, "byol", {1: 30.0, 4: 40.0, 16: 45.0})
    short = ladder_of(make_record, "byol", {1: 30.0, 4: 40.0}, config={"batch_size": 64})
    found = predictions([*short, *good], NO_PRICES, "epochs", 64)
    assert [len(prediction.entries) for prediction in found] == [1] and found[0].single == ["byol"]
    with pytest.raises(UserError, match="too few: byol with 2"):
        predictions(short, NO_PRICES, "epochs", 64)
    with pytest.raises(UserError, match="no run had a budget of steps"):
        predictions(good, NO_PRICES, "steps", 64)
