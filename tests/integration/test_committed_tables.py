"""The tables that the repository shows are those of the records that it holds."""

from __future__ import annotations

import csv
from pathlib import Path

from benchmark.analysis.tables import write_leaderboard
from benchmark.cli.pages import read_prices, read_results

RESULTS = Path(__file__).parents[2] / "results"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: text for name, text in row.items() if name != "record"} for row in csv.DictReader(file)]


def test_the_leaderboard_is_made_from_the_records_beside_it(tmp_path: Path) -> None:
    found, problems = read_results([RESULTS / "reference"])
    prices, unread = read_prices([RESULTS / "reference"])
    assert not problems and not unread
    write_leaderboard(found, tmp_path, prices=prices)
    for made in tmp_path.glob("*.csv"):
        assert _rows(made) == _rows(RESULTS / made.name), (
            f"bench leaderboard results/reference --csv results/{made.name}"
        )
