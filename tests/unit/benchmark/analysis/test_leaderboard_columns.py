from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.columns import names, row_values
from benchmark.analysis.comparison import comparisons
from benchmark.analysis.leaderboard_columns import LEADERBOARD, BoardRow


def rows(records: list[Any]) -> dict[str, dict[str, Any]]:
    (comparison,) = comparisons(records)
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
