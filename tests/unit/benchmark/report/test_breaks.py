from __future__ import annotations

from typing import Any

from made_costs import make_cost, make_priced

from benchmark.analysis.calibration import Prices
from benchmark.analysis.comparison import comparisons
from benchmark.report.breaks import breaks_between_rungs
from benchmark.report.summary import limits


def test_a_report_says_so_where_times_are_compared(ran: Any) -> None:
    def told(**options: Any) -> list[str]:
        records = [ran("cnn_jepa", 2, 0, **options), ran("byol", 2, 130, **options)]
        return [line for line in limits(comparisons(records), []) if " apart; " in line]

    (line,) = told()
    assert line.startswith("10 epochs on cifar10-jpeg, seed 2: the runs of CNN-JEPA and those of BYOL are 2.0 h apart;")
    assert told(budget={"wall_clock": 100}) == []


def test_rungs_that_were_measured_long_after_each_other_are_named(ran: Any) -> None:
    short, long = {"epochs": 2}, {"epochs": 4}
    records = [ran("a", 0, 0, budget=short), ran("a", 0, 15, budget=long), ran("b", 0, 26, budget=long)]
    assert breaks_between_rungs(comparisons(records)) == []
    records += [ran("a", 1, 100, budget=long), ran("a", 1, 230, budget=short), ran("b", 1, 300, budget=short)]
    (said,) = breaks_between_rungs(comparisons(records))
    assert (
        said.startswith("2 epochs and 4 epochs on ") and "seed 1: the runs of the two budgets are 2.0 h apart" in said
    )
    between = ran("c", 2, 110, minutes=120, budget=long)  # whatever the harness does there, it goes on
    assert breaks_between_rungs(comparisons([*records, between])) == []
    floors = [ran("random_init", 2, 0, budget=short), ran("random_init", 2, 900, budget=long)]
    assert breaks_between_rungs(comparisons(floors)) == []  # nothing was paid for


def test_breaks_do_not_bend_a_calibrated_cost() -> None:
    runs = [
        make_priced(entry, started=f"2026-01-05T{hour}:00:00+00:00", ended=f"2026-01-05T{hour}:05:00+00:00")
        for entry, hour in (("byol", 10), ("simclr", 14))
    ]
    priced = Prices((make_cost(runs, {"byol": 0.2, "simclr": 0.1}),))
    for prices, bent in ((Prices(), True), (priced, False)):
        lines = limits(comparisons(runs, prices), [], prices)
        assert any(" apart; " in line for line in lines) is bent
        assert any(line.startswith("Costs of 10 epochs") for line in lines) is not bent
