from __future__ import annotations

from typing import Any

import pytest
from made_costs import make_cost, make_priced

from benchmark.analysis.calibration import Prices
from benchmark.analysis.comparison import comparisons
from benchmark.analysis.relative import cost_ratio, relative_times, time_ratio
from benchmark.records.estimates import ratio_interval

SPARSE, DENSE = ({"method": {"encoder": name}} for name in ("sparse", "masked_dense"))


def trained(make: Any, seeds: int = 2, **options: Any) -> list[Any]:
    return [
        make(entry, seed, method=method, config=config, seconds=seconds + 10 * seed, **options)
        for entry, method, config, seconds in (
            ("cnn_jepa", "cnn_jepa", SPARSE, 100.0),
            ("cnn_jepa_dense", "cnn_jepa", DENSE, 200.0),
            ("byol", "byol", {}, 300.0),
        )
        for seed in range(seeds)
    ]


def test_times_are_divided_seed_by_seed_by_each_encoders(make_record: Any) -> None:
    (comparison,) = comparisons([*trained(make_record), make_record("random_init")])
    found = {one.row.first.entry: one for one in relative_times(comparison)}
    assert list(found) == ["cnn_jepa", "cnn_jepa_dense", "byol"]  # by rising time; random init paid nothing
    byol = found["byol"]
    against = {name: one.mean for name, one in byol.training.items() if one}
    assert against == pytest.approx(
        {"sparse": (300 / 100 + 310 / 110) / 2, "masked_dense": (300 / 200 + 310 / 210) / 2}
    )
    total = byol.total["sparse"]
    assert total is not None and total.mean == pytest.approx((315.7 / 115.7 + 325.7 / 125.7) / 2)
    own = found["cnn_jepa"].training["sparse"]
    assert own is not None and (own.n, own.mean, own.ci95) == (2, 1.0, 0.0)


def test_no_ratio_across_machines_seeds_or_where_time_was_the_budget(make_record: Any) -> None:
    here = trained(make_record, seeds=1)
    there = make_record("simclr", environment={"device_model": "H200"})
    other_seed = make_record("vicreg", 7)
    (comparison,) = comparisons([*here, there, other_seed])
    found = {one.row.first.entry: one for one in relative_times(comparison)}
    assert found["simclr"].training == {"sparse": None, "masked_dense": None}
    assert found["vicreg"].training == {"sparse": None, "masked_dense": None}
    for kind in ("wall_clock", "calibrated_time"):
        timed = comparisons(trained(make_record, seeds=1, budget={kind: 100}))
        assert [relative_times(one) for one in timed] == [[]]
    (without,) = comparisons([make_record("byol"), make_record("simclr")])
    assert relative_times(without) == []


def test_of_several_rows_of_one_encoder_the_plainest_name_is_one_not_the_fastest(make_record: Any) -> None:
    records = trained(make_record, seeds=1)
    records.append(make_record("cnn_jepa_small", method="cnn_jepa", config=SPARSE, seconds=50.0))
    (comparison,) = comparisons(records)
    found = {one.row.first.entry: one.training["sparse"] for one in relative_times(comparison)}
    small = found["cnn_jepa_small"]
    assert small is not None and small.mean == pytest.approx(0.5)


def test_a_ratio_needs_both_times(make_record: Any) -> None:
    (comparison,) = comparisons([make_record("byol"), make_record("simclr", status="failed", measured=False)])
    byol, simclr = sorted(comparison.rows, key=lambda row: row.first.entry)
    assert time_ratio(byol, simclr) is None


def test_calibrated_ratios_are_those_of_the_record_on_whatever_machine_the_runs_were_made() -> None:
    runs = [
        make_priced("cnn_jepa", config=SPARSE, seconds=100.0),
        make_priced("byol", seconds=900.0, environment={"device_model": "H200"}),
        make_priced("simclr", 7, seconds=900.0),
    ]
    seconds = {"cnn_jepa": 0.1, "byol": 0.15, "simclr": 0.12}
    prices = Prices((make_cost(runs, seconds, reference="cnn_jepa", spread=0.02),))
    (comparison,) = comparisons(runs, prices)
    found = {one.row.first.entry: one.training["sparse"] for one in relative_times(comparison)}
    assert list(found) == ["cnn_jepa", "simclr", "byol"]
    byol = found["byol"]
    assert byol is not None
    assert (byol.n, byol.mean, byol.ci95) == (8, pytest.approx(1.5), pytest.approx(0.0))
    other_base = Prices((make_cost(runs, seconds, reference="byol"),))
    rows = {row.first.entry: row for row in comparisons(runs, other_base)[0].rows}
    ratio = cost_ratio(rows["byol"], rows["cnn_jepa"])
    assert ratio is not None and (ratio.mean, ratio.ci95) == (pytest.approx(1.5), pytest.approx(0.0))


def test_a_calibrated_ratio_is_one_of_costs_and_not_of_steps() -> None:
    runs = [make_priced("cnn_jepa", config=SPARSE), make_priced("byol")]
    ledger = runs[1].ledger
    assert ledger is not None
    runs[1] = runs[1].model_copy(update={"ledger": ledger.model_copy(update={"steps": 1400})})  # twice as many
    cost = make_cost(runs, {"cnn_jepa": 0.1, "byol": 0.1}, reference="cnn_jepa")
    byol = cost.entries[1]
    times = (0.9, 0.9, 1.0, 1.0, 1.0, 1.1, 1.1)  # of ten steps; the other entry always takes a second
    blocks = [block.model_copy(update={"seconds": s}) for block, s in zip(byol.blocks, times, strict=False)]
    prices = Prices(
        (cost.model_copy(update={"entries": [cost.entries[0], byol.model_copy(update={"blocks": blocks})]}),)
    )
    rows = {row.first.entry: row for row in comparisons(runs, prices)[0].rows}
    ratio = cost_ratio(rows["byol"], rows["cnn_jepa"])
    paired = ratio_interval(times).times(2.0)  # per step, x twice as many
    assert ratio is not None and ratio.mean == pytest.approx(2.0, rel=0.01)
    assert (ratio.mean, ratio.ci95) == (pytest.approx(paired.median), pytest.approx((paired.high - paired.low) / 2))


def test_under_a_budget_that_sets_the_cost_the_ratio_is_that_of_the_own_clocks() -> None:
    runs = [make_priced(entry, seconds=60.0, budget={"wall_clock": 60}) for entry in ("byol", "simclr")]
    byol, simclr = comparisons(runs, Prices((make_cost(runs, {"byol": 0.1, "simclr": 0.2}),)))[0].rows
    ratio = cost_ratio(byol, simclr)
    assert byol.price is not None and ratio is not None and ratio.mean == 1.0
    # Unless these are unsafe, whatever the step cost's own flags say.
    runs[1] = make_priced("simclr", seconds=180.0, budget={"wall_clock": 60}, flags=["busy machine"])
    byol, simclr = comparisons(runs, Prices((make_cost(runs, {"byol": 0.1, "simclr": 0.2}),)))[0].rows
    assert simclr.unsafe_clock and not simclr.unsafe and cost_ratio(byol, simclr) is None
