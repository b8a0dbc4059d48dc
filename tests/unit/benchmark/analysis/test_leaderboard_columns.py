from __future__ import annotations

from typing import Any

import pytest
from made_costs import GPU_A, make_cost, make_priced

from benchmark.analysis.calibration import Prices
from benchmark.analysis.columns import names, row_values
from benchmark.analysis.comparison import comparisons
from benchmark.analysis.leaderboard_columns import LEADERBOARD, BoardRow


def rows(records: list[Any], *costs: Any) -> dict[str, dict[str, Any]]:
    (comparison,) = comparisons(records, Prices(costs))
    return {row.first.entry: row_values(LEADERBOARD, BoardRow(comparison, row)) for row in comparison.rows}


def test_no_column_appears_twice() -> None:
    assert len(set(names(LEADERBOARD))) == len(LEADERBOARD)


def test_ranks_and_differences_are_those_of_the_comparison(make_record: Any) -> None:
    scores = {"cnn_jepa": [40.0, 41.0, 42.5, 40.5, 41.5], "simclr": [43.0, 44.5, 45.0, 43.0, 45.0]}
    config = {"reference": "cnn_jepa"}
    found = rows(
        [make_record(e, s, top1=t, config=config) for e, values in scores.items() for s, t in enumerate(values)]
    )
    assert [found[name]["rank"] for name in scores] == ["2", "1"]
    assert found["simclr"]["difference_pairs"] == 5 and found["simclr"]["difference_mean"] == pytest.approx(3.0)
    assert (found["simclr"]["differs"], found["simclr"]["reference"]) == ("higher", "cnn_jepa")
    assert (found["cnn_jepa"]["differs"], found["cnn_jepa"]["difference_mean"]) == ("", None)


def test_times_are_means_over_the_runs_with_safe_times_and_memory_is_the_largest_peak(make_record: Any) -> None:
    records = [make_record("byol", 0, seconds=100.0), make_record("byol", 1, seconds=300.0, flags=["resumed"])]
    ledger = records[1].ledger.model_copy(update={"peak_memory_bytes": 2**30})
    found = rows([records[0], records[1].model_copy(update={"ledger": ledger})])["byol"]
    assert (found["n"], found["n_timed"], found["training_time_mean"]) == (2, 1, 100.0)
    assert (found["peak_memory_mib"], found["linear_top1_mean"], found["rank"]) == (1024.0, 45.0, "")
    assert (found["preliminary"], found["flags"]) == ("yes", "resumed")


def test_calibrated_columns_are_those_of_the_record_beside_the_own_clock() -> None:
    runs = [make_priced("byol", seconds=168.0), make_priced("simclr", seconds=70.0), make_priced("random_init")]
    seconds = {"byol": 0.2, "simclr": 0.1}
    here = make_cost(runs, seconds, spread=0.1, joules=50.0)
    found = rows(runs, here)["byol"]
    calibrated = [found[f"calibrated_{name}"] for name in ("time_mean", "time_low", "time_high", "device_hours_mean")]
    assert calibrated == pytest.approx([140.0, 126.0, 154.0, 140 / 3600])
    assert (found["training_time_mean"], found["own_clock_ratio"]) == (168.0, pytest.approx(1.2))
    assert (found["calibrated_joules_mean"], found["relative_cost"]) == (pytest.approx(7000.0), 1.0)
    assert found["calibrated_on"] == here.hardware.text and found["step_cost"] == here.key[:12]
    assert rows(runs, here)["simclr"]["relative_cost"] == pytest.approx(0.5)
    there = rows(runs, make_cost(runs, seconds, {**GPU_A, "devices": 4}))["byol"]
    assert (there["calibrated_time_mean"], there["calibrated_device_hours_mean"]) == pytest.approx((140.0, 560 / 3600))
    assert (there["own_clock_ratio"], there["calibrated_joules_mean"]) == (None, None)
    for without in (rows(runs)["byol"], rows(runs, here)["random_init"]):
        assert (without["calibrated_time_mean"], without["calibrated_on"], without["step_cost"]) == (None, "", "")
