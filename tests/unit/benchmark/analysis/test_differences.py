"""Entries against the declared reference: which runs are paired, what is corrected, what is said."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import stats

from benchmark.analysis.comparison import Comparison, comparisons
from benchmark.analysis.differences import (
    all_pairs,
    declared_references,
    differences,
    median_time_to,
    ranks,
    reference_of,
    targets_of,
    tuning_differences,
)
from benchmark.analysis.statistics import holm
from benchmark.analysis.tables import leaderboard
from benchmark.records.schema import Point, Record, ValidationPoint

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
    assert all(pair.row is not reference for pair in differences(comparison))


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
