from __future__ import annotations

from typing import Any

from benchmark.analysis.comparison import comparisons
from benchmark.analysis.standings import standings
from benchmark.analysis.tables import leaderboard


def test_standings_are_in_the_leaderboards_order_and_by_the_paired_test(make_record: Any) -> None:
    scores = {
        "byol": [50.0, 51.0, 50.4],
        "simclr": [49.9, 51.1, 50.2],  # differs by less than it varies
        "vicreg": [45.1, 46.2, 45.4],
        "supervised": [70.0, 71.0, 70.5],
        "random_init": [33.0, 33.0, 33.1],
    }
    records = [make_record(e, seed, top1=v) for e, values in scores.items() for seed, v in enumerate(values)]
    records += [make_record("ijepa", seed, top1=60.0 + seed, status="collapsed") for seed in range(3)]
    records += [
        make_record("byol", top1=40.0, budget={"epochs": 2}),
        make_record("simclr", budget={"epochs": 2}, top1=39.8),
    ]
    board = leaderboard(records)
    named = list(zip(board["budget"], board["entry"], standings(comparisons(records)), strict=True))
    assert named == [
        ("2 epochs", "byol", "best"),
        ("2 epochs", "simclr", "not worse"),  # one seed each: the sampling errors overlap
        ("10 epochs", "supervised", ""),
        ("10 epochs", "ijepa", ""),
        ("10 epochs", "byol", "best"),
        ("10 epochs", "simclr", "not worse"),
        ("10 epochs", "vicreg", ""),
        ("10 epochs", "random_init", ""),
    ]
