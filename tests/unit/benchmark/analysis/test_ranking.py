"""Which rows share a rank, and how every table says so."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
from scipy import stats

from benchmark.analysis.comparison import Comparison, comparisons
from benchmark.analysis.differences import all_pairs, ranks
from benchmark.analysis.export import short, to_latex, to_markdown
from benchmark.analysis.statistics import holm
from benchmark.analysis.tables import leaderboard, write_leaderboard

if TYPE_CHECKING:
    from pathlib import Path

HIGH = [50.0, 51.0, 50.4, 51.3, 50.2]
ALIKE = [50.1, 50.8, 50.5, 51.2, 50.1]  # mean difference to HIGH 0.04, within its spread
LOW = [40.0, 41.4, 40.1, 41.9, 40.3]


def compared(make_record: Any, scores: dict[str, list[float]]) -> Comparison:
    (comparison,) = comparisons(
        [make_record(entry, seed, top1=top1) for entry, values in scores.items() for seed, top1 in enumerate(values)]
    )
    return comparison


def ranked(comparison: Comparison) -> dict[str, str]:
    found = ranks(comparison)
    return {row.first.entry: found[id(row)].text for row in comparison.rows if id(row) in found}


def test_rows_that_are_not_told_apart_share_their_rank_and_the_next_counts_them(make_record: Any) -> None:
    scores = {"byol": HIGH, "simclr": ALIKE, "vicreg": LOW}
    assert ranked(compared(make_record, scores)) == {"byol": "tie 1", "simclr": "tie 1", "vicreg": "3"}
    scores = {"byol": HIGH, "simclr": LOW, "vicreg": [40.1, 41.2, 40.2, 41.8, 40.2]}
    assert ranked(compared(make_record, scores)) == {"byol": "1", "simclr": "tie 2", "vicreg": "tie 2"}
    assert ranked(compared(make_record, {"byol": HIGH})) == {"byol": "1"}
    assert ranked(compared(make_record, {"byol": HIGH[:4]})) == {}


def test_of_rows_that_share_a_rank_the_first_and_the_last_may_differ(make_record: Any) -> None:
    noise = [-0.5, -0.2, 0.0, 0.3, 0.4]
    scores = {
        "byol": [50.0 + v for v in noise],
        "simclr": [49.5 - v for v in noise],
        "vicreg": [49.0 + v * 0.9 for v in noise],
    }
    comparison = compared(make_record, scores)
    verdicts = {(p.row.first.entry, p.reference.first.entry): p.verdict for p in all_pairs(comparison.rows)}
    assert verdicts == {("byol", "simclr"): "tie", ("byol", "vicreg"): "higher", ("simclr", "vicreg"): "tie"}
    assert set(ranked(comparison).values()) == {"tie 1"}


def test_a_line_is_drawn_only_where_it_parts_all_above_from_all_below(make_record: Any) -> None:
    # The middle one is so steady against the last that these two differ; the first, which lies highest, is not.
    wild, steady = [0.0, 9.0, -8.0, 7.0, -6.0], [0.0, 0.1, 0.0, 0.1, 0.0]
    scores = {
        "byol": [48.0 + v for v in wild],
        "simclr": [47.0 + v for v in steady],
        "vicreg": [46.0 - v for v in steady],
    }
    comparison = compared(make_record, scores)
    verdicts = {(p.row.first.entry, p.reference.first.entry): p.verdict for p in all_pairs(comparison.rows)}
    assert verdicts[("simclr", "vicreg")] == "higher" and verdicts[("byol", "vicreg")] == "tie"
    assert ranked(comparison) == {"byol": "tie 1", "simclr": "tie 1", "vicreg": "tie 1"}


def test_what_cannot_be_tested_is_not_told_apart(make_record: Any) -> None:
    assert set(ranked(compared(make_record, {"byol": [45.0] * 5, "simclr": [40.0] * 5})).values()) == {"tie 1"}
    records = [make_record("byol", seed, top1=50.0 + seed) for seed in range(5)]
    records += [make_record("simclr", seed + 3, top1=30.0 + seed % 2) for seed in range(5)]  # two seeds in common
    (comparison,) = comparisons(records)
    assert set(ranked(comparison).values()) == {"tie 1"}


def test_all_pairs_of_ranked_rows_are_one_family(make_record: Any) -> None:
    scores = {"byol": HIGH, "simclr": ALIKE, "vicreg": LOW}
    found = all_pairs([row for row in compared(make_record, scores).rows if row.may_be_ranked])
    names = [(pair.row.first.entry, pair.reference.first.entry) for pair in found]
    assert names == [("byol", "simclr"), ("byol", "vicreg"), ("simclr", "vicreg")]
    expected = holm([stats.ttest_rel(scores[one], scores[other]).pvalue for one, other in names])
    assert [pair.p for pair in found] == pytest.approx(expected)


def test_unranked_rows_do_not_enter_the_correction(make_record: Any) -> None:
    close = [v - d for v, d in zip(HIGH, [0.5, 0.9, 0.2, 0.8, 0.4], strict=True)]  # p = 0.011 alone
    scores = {"byol": HIGH, "simclr": close}
    assert ranked(compared(make_record, scores)) == {"byol": "1", "simclr": "2"}
    others = {name: [30.0 + i + v * 0.01 for v in HIGH[:4]] for i, name in enumerate(("vicreg", "ijepa", "cnn_jepa"))}
    assert ranked(compared(make_record, {**scores, **others})) == {"byol": "1", "simclr": "2"}


def test_every_table_writes_it_alike(make_record: Any, store: Any, tmp_path: Path) -> None:
    found = [
        (store(tmp_path / "results", record), record)
        for row in compared(make_record, {"byol": HIGH, "simclr": ALIKE, "vicreg": LOW}).rows
        for record in row.records
    ]
    path, _ = write_leaderboard(found, tmp_path / "tables")
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["entry"]: (row["rank"], row["schema_version"]) for row in csv.DictReader(file)}
    assert rows == {"byol": ("tie 1", "6"), "simclr": ("tie 1", "6"), "vicreg": ("3", "6")}
    table = short(leaderboard([record for _, record in found]))
    assert list(table["Rank"]) == ["tie 1", "tie 1", "3"]
    assert "| tie 1 |" in to_markdown(table) and "& tie 1 &" in to_latex(table)
