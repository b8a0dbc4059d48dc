"""Entries against the declared reference: which runs are paired, what is corrected, what is said."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import stats

from benchmark.analysis.comparison import comparisons
from benchmark.analysis.differences import (
    declared_references,
    difference_of,
    differences,
    median_time_to,
    reference_of,
    targets_of,
    tuning_differences,
)
from benchmark.analysis.statistics import holm
from benchmark.analysis.tables import leaderboard
from benchmark.records.schema import Point, Record, ValidationPoint
from benchmark.report.difference_tables import tuning_table

OURS = {"reference": "cnn_jepa"}


def _runs(make_record: Any, entry: str, values: list[float], **options: Any) -> list[Record]:
    return [make_record(entry, seed, top1=value, config=OURS, **options) for seed, value in enumerate(values)]


def test_rows_are_paired_by_seed_and_corrected_together(make_record: Any) -> None:
    ours, simclr, byol = [40.0, 41.0, 42.5, 40.5, 41.5], [43.0, 44.5, 45.0, 43.0, 45.0], [40.5, 40.5, 42.0, 41.0, 41.0]
    records = [
        *_runs(make_record, "cnn_jepa", ours), *_runs(make_record, "simclr", simclr), *_runs(make_record, "byol", byol),
    ]  # fmt: skip
    (comparison,) = comparisons(records)
    found = {one.row.first.entry: one for one in differences(comparison)}
    assert set(found) == {"simclr", "byol"}
    expected = holm([stats.ttest_rel(simclr, ours).pvalue, stats.ttest_rel(byol, ours).pvalue])
    assert [found["simclr"].p, found["byol"].p] == pytest.approx(expected)
    assert found["simclr"].verdict == "higher" and found["byol"].verdict == "tie"
    assert found["simclr"].paired.mean == pytest.approx(3.0) and found["simclr"].improvement == 1.0
    reference = reference_of(comparison)
    assert reference is not None and reference.first.entry == "cnn_jepa"
    assert difference_of(comparison, reference) is None


def test_only_seeds_that_both_completed_are_pairs(make_record: Any) -> None:
    ours = _runs(make_record, "cnn_jepa", [40.0, 41.0, 42.0, 43.0])
    theirs = _runs(make_record, "byol", [45.0, 46.2, 47.0])
    theirs += [make_record("byol", 3, status="failed", cause="exception", measured=False, config=OURS)]
    theirs += [make_record("byol", 9, top1=10.0, config=OURS)]
    (comparison,) = comparisons([*ours, *theirs])
    (one,) = differences(comparison)
    assert one.paired.n == 3 and one.paired.mean == pytest.approx(5.0667, abs=1e-3)
    assert one.verdict == "higher"


def test_two_seeds_are_too_few_for_a_verdict_and_leave_the_others_alone(make_record: Any) -> None:
    ours = _runs(make_record, "cnn_jepa", [40.0, 41.0, 42.0])
    byol, vicreg = _runs(make_record, "byol", [45.0, 46.2, 47.0]), _runs(make_record, "vicreg", [45.0, 46.2])
    (comparison,) = comparisons([*ours, *byol, *vicreg])
    found = {one.row.first.entry: one for one in differences(comparison)}
    assert found["vicreg"].p is None and found["vicreg"].verdict == "" and found["vicreg"].paired.n == 2
    assert found["byol"].p == pytest.approx(stats.ttest_rel([45.0, 46.2, 47.0], [40.0, 41.0, 42.0]).pvalue)


def test_without_one_declared_reference_nothing_is_compared(make_record: Any) -> None:
    undeclared = [make_record(entry, seed) for entry in ("cnn_jepa", "byol") for seed in range(3)]
    two = [make_record(entry, 0, config={"reference": entry}) for entry in ("cnn_jepa", "byol")]
    absent = [make_record("byol", seed, config=OURS) for seed in range(3)]
    for records in (undeclared, two, absent):
        (comparison,) = comparisons(records)
        assert reference_of(comparison) is None and differences(comparison) == []


def test_the_leaderboard_says_it(make_record: Any) -> None:
    records = [
        *_runs(make_record, "cnn_jepa", [40.0, 41.0, 42.0]), *_runs(make_record, "byol", [35.0, 36.5, 37.0]),
        *_runs(make_record, "simclr", [44.0]),
    ]  # fmt: skip
    board = leaderboard(records).set_index("entry")
    assert board.loc["byol", "differs"] == "lower" and board.loc["byol", "reference"] == "cnn_jepa"
    assert board.loc["byol", "difference_mean"] == pytest.approx(-4.8333, abs=1e-3)
    assert board.loc["byol", "improvement_probability"] == 0.0
    assert board.loc["simclr", "differs"] == "" and board.loc["simclr", "difference_pairs"] == 1
    assert board.loc["cnn_jepa", "reference"] == "" and board["difference_pairs"].isna()["cnn_jepa"]


def _timed(record: Record, scores: list[float], times: list[float]) -> Record:
    assert record.metrics is not None and record.ledger is not None
    progress = [(k + 1) / len(scores) for k in range(len(scores))]
    points = [
        ValidationPoint(progress=p, linear_top1=s, knn20=0, knn200=0) for p, s in zip(progress, scores, strict=True)
    ]
    spent = [Point(progress=p, training_time=t) for p, t in zip(progress, times, strict=True)]
    metrics = record.metrics.model_copy(update={"validation": points})
    ledger = record.ledger.model_copy(update={"evaluation_points": spent})
    return record.model_copy(update={"metrics": metrics, "ledger": ledger})


def test_time_to_a_target_is_a_median_in_which_a_miss_is_infinite(make_record: Any) -> None:
    config = {"targets": [40.0, 44.0]}
    scores = [[30.0, 41.0, 43.0], [39.0, 39.5, 45.0], [20.0, 30.0, 38.0]]
    runs = [
        _timed(make_record("byol", seed, config=config), values, [10.0, 20.0, 30.0 + seed])
        for seed, values in enumerate(scores)
    ]
    (comparison,) = comparisons(runs)
    (row,) = comparison.rows
    assert targets_of(row) == [40.0, 44.0]
    assert median_time_to(row, 40.0) == 31.0  # of 20, 31 and never
    assert median_time_to(row, 44.0) == math.inf  # of never, 31 and never
    assert leaderboard(runs)["time_to_targets"][0] == "40%: 31 s; 44%: inf s"
    failed = make_record("byol", 3, status="failed", cause="exception", measured=False, config=config)
    (comparison,) = comparisons([*runs, failed])
    assert median_time_to(comparison.rows[0], 40.0) == math.inf  # between 31 and never


def test_tuned_rows_declare_nothing_and_stand_against_their_own_recipe(make_record: Any) -> None:
    tuned = {"config": {"reference": "simclr.lr-0.003", "tags": ["tuned", "best of 3 trials"]}, "method": "simclr"}
    records = [
        *_runs(make_record, "cnn_jepa", [40.0, 41.0, 42.5]),
        *_runs(make_record, "simclr", [43.0, 44.5, 45.0]),
        *_runs(make_record, "simclr_vit", [43.0, 44.5, 45.0], method="simclr"),
        *(make_record("simclr.lr-0.003", seed, top1=top1, **tuned) for seed, top1 in enumerate([44.0, 45.2, 46.1])),
        *(make_record("byol.lr-0.003", seed, method="byol", config=tuned["config"]) for seed in range(3)),
    ]
    (comparison,) = comparisons(records)
    reference = reference_of(comparison)
    assert reference is not None and reference.first.entry == "cnn_jepa"
    (one,) = tuning_differences(comparison)  # BYOL's recipe is not there
    assert (one.row.first.entry, one.reference.first.entry) == ("simclr.lr-0.003", "simclr")
    assert one.paired.mean == pytest.approx(2.8 / 3) and one.paired.n == 3
    assert one.p == pytest.approx(stats.ttest_rel([44.0, 45.2, 46.1], [43.0, 44.5, 45.0]).pvalue)


def test_a_recipe_beside_its_tuned_row_declares_nothing_either(make_record: Any) -> None:
    sweep = {"method": "cnn_jepa", "experiment": "tune"}
    records = [make_record("simclr", seed, config={"reference": "simclr"}) for seed in range(3)]
    for name, tags in (("cnn_jepa", ["untuned"]), ("cnn_jepa.lr-0.003", ["tuned", "best of 3 trials"])):
        config = {"reference": name, "tags": tags}
        records += [make_record(name, seed, config=config, **sweep) for seed in range(3)]
    (comparison,) = comparisons(records)
    assert declared_references(comparison) == ["simclr"]
    (one,) = tuning_differences(comparison)
    assert (one.row.first.entry, one.reference.first.entry) == ("cnn_jepa.lr-0.003", "cnn_jepa")


def test_a_recipe_that_was_its_own_best_point_is_named_beside_the_others(make_record: Any) -> None:
    tags = {"config": {"tags": ["tuned", "as the recipe has it"]}, "method": "vicreg"}
    records = [make_record("vicreg.lr-0.001", seed, **tags) for seed in range(2)]
    (comparison,) = comparisons(records)
    table = tuning_table(comparison)
    assert table is not None
    ((row, against, *rest),) = table.rows
    assert "lr 0.001" in row.text and against.text.startswith("itself") and not any(cell.text for cell in rest)
    again = [*records, *(make_record("vicreg", seed) for seed in range(2))]  # of the same settings, in a joint report
    table = tuning_table(comparisons(again)[0])
    assert table is not None and len(table.rows) == 1 and not table.rows[0][1].text.startswith("itself")
