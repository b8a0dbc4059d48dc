from __future__ import annotations

from typing import Any

import pytest
from made_costs import CPU, GPU_A, make_cost, make_priced
from made_records import make_external

from benchmark.analysis.calibration import Prices
from benchmark.analysis.comparability import backbone_text
from benchmark.analysis.comparison import comparisons, rows_of


def several(make: Any, entry: str, values: list[float], **options: Any) -> list[Any]:
    return [make(entry, seed, top1=value, **options) for seed, value in enumerate(values)]


def test_seeds_make_a_row_but_other_settings_do_not_join_it(make_record: Any) -> None:
    seeds = several(make_record, "byol", [44.0, 45.0, 46.0])
    tuned = make_record("byol", 0, config={"method": {"optimizer": {"lr": 0.1}}})
    elsewhere = make_record("byol", 0, environment={"cpu_model": "EPYC"})
    rows = rows_of([*reversed(seeds), tuned, elsewhere])
    assert sorted(row.n for row in rows) == [1, 1, 3]
    assert [record.seed for record in rows[0].records] == [0, 1, 2]
    assert len(comparisons([*seeds, tuned, elsewhere])) == 1


def test_a_run_tried_again_counts_once_and_its_final_outcome_stands(make_record: Any) -> None:
    done = make_record(ended="2026-01-05T10:00:00+00:00")
    later_failure = done.model_copy(
        update={"status": "failed", "cause": "exception", "ended": "2026-01-06T10:00:00+00:00"}
    )
    newer = done.model_copy(update={"ended": "2026-01-07T10:00:00+00:00"})
    assert rows_of([later_failure, done])[0].records == (done,)
    assert rows_of([done, later_failure])[0].records == (done,)
    assert rows_of([done, newer])[0].records[0].ended.startswith("2026-01-07")


def test_failures_stay_in_the_row_but_out_of_the_means(make_record: Any) -> None:
    runs = several(make_record, "byol", [44.0, 46.0])
    runs += [
        make_record(seed=2, top1=10.0, status="diverged"),
        make_record(seed=3, status="failed", cause="time_out", measured=False),
    ]
    (row,) = rows_of(runs)
    assert (row.n, len(row.completed), row.accuracy.mean) == (4, 2, 45.0)
    assert row.status == "2 completed, 1 diverged, 1 failed (time_out)"
    assert row.preliminary and not row.may_be_ranked


def test_single_seeds_are_judged_by_the_sampling_error_of_the_test_split(make_record: Any) -> None:
    # 10,000 test images at 33% and 35%: half widths of 0.92 and 0.93.
    records = [make_record("random_init", top1=33.0), make_record("byol", top1=34.9), make_record("simclr", top1=34.8)]
    records += [make_record("vicreg", top1=31.0), make_record("cnn_jepa", status="failed", measured=False)]
    (comparison,) = comparisons(records)
    verdicts = {row.first.entry: comparison.beats_random_init(row) for row in comparison.rows}
    assert verdicts == {"byol": "yes", "simclr": "tie", "vicreg": "no", "cnn_jepa": "", "random_init": ""}
    assert [row.first.entry for row in comparison.rows] == ["byol", "simclr", "random_init", "vicreg", "cnn_jepa"]


def test_from_two_seeds_on_the_student_interval_decides(make_record: Any) -> None:
    floor = several(make_record, "random_init", [33.0, 33.0, 33.0])
    wide = several(make_record, "byol", [36.0, 40.0])  # mean 38, half width 12.706 * 2.828 / 1.414 = 25.4
    narrow = several(make_record, "simclr", [33.4, 33.5, 33.6])  # half width 4.303 * 0.1 / 1.732 = 0.25
    (comparison,) = comparisons([*floor, *wide, *narrow])
    verdicts = {row.first.entry: comparison.beats_random_init(row) for row in comparison.rows}
    assert verdicts == {"byol": "tie", "simclr": "yes", "random_init": ""}


def test_the_floor_is_the_random_init_on_the_same_backbone(make_record: Any) -> None:
    records = [
        make_record("random_init", top1=33.0),
        make_record("random_init_vit", method="random_init", backbone="vit_tiny", top1=28.0),
        make_record("ijepa", backbone="vit_tiny", top1=31.0),
        make_record("byol", backbone="convnext_tiny", top1=31.0),
        make_record("simclr", top1=31.0, config={"backbone": {"name": "resnet18-w16", "width": 32}}),
        make_record("vicreg", top1=31.0, config={"backbone": {"name": "resnet18-w16", "width": None}}),
    ]
    (comparison,) = comparisons(records)
    verdicts = {row.first.entry: comparison.beats_random_init(row) for row in comparison.rows}
    assert (verdicts["ijepa"], verdicts["byol"]) == ("yes", "no")
    floors = {
        row.first.entry: floor.first.entry for row in comparison.rows if (floor := comparison.floor(row)) is not None
    }
    assert floors["ijepa"] == "random_init_vit" and floors["simclr"] == floors["vicreg"] == "random_init"
    assert backbone_text(comparison.rows[0].first).startswith("resnet18-w16")


def test_no_random_init_gives_no_verdict(make_record: Any) -> None:
    (comparison,) = comparisons([make_record()])
    assert comparison.beats_random_init(comparison.rows[0]) == ""


def test_only_five_complete_seeds_of_a_self_supervised_entry_are_ranked(make_record: Any) -> None:
    ranked = several(make_record, "byol", [40.0] * 5) + several(make_record, "simclr", [45.0] * 5)
    four = several(make_record, "vicreg", [50.0] * 4)
    broken = [*several(make_record, "ijepa", [50.0] * 5), make_record("ijepa", 5, status="diverged")]
    supervised = several(make_record, "supervised", [70.0] * 5)
    (comparison,) = comparisons([*ranked, *four, *broken, *supervised])
    assert {row.first.entry for row in comparison.rows if row.may_be_ranked} == {"simclr", "byol"}


def test_collapsed_runs_stand_in_the_means_and_are_not_ranked(make_record: Any) -> None:
    records = [make_record("byol", seed, top1=40.0) for seed in range(4)]
    records += [make_record("byol", 4, top1=10.0, status="collapsed", message="features collapsed")]
    records += [make_record("simclr", seed, status="diverged", measured=False) for seed in range(5)]
    (comparison,) = comparisons(records)
    byol, simclr = comparison.rows
    assert byol.accuracy.mean == 34.0 and (byol.n, len(byol.measured), len(byol.completed)) == (5, 5, 4)
    assert byol.status == "4 completed, 1 collapsed" and not byol.may_be_ranked
    assert simclr.accuracy.mean is None and simclr.measured == ()


def test_times_are_those_of_the_runs_against_which_nothing_speaks(make_record: Any) -> None:
    records = [
        make_record("byol", 0, top1=44.0, seconds=100.0),
        make_record("byol", 1, top1=46.0, seconds=300.0, flags=["shared device"]),
        make_record("byol", 2, top1=48.0, seconds=110.0, flags=["different backbone"]),
    ]
    (row,) = rows_of(records)
    assert (row.cost.mean, row.cost.n, row.unsafe) == (105.0, 2, False)
    assert (row.accuracy.mean, row.accuracy.n) == (46.0, 3)
    (row,) = rows_of(records[1:2])
    assert (row.cost.mean, row.unsafe) == (300.0, True)  # marked, and better than none


def test_a_record_that_prices_a_ladder_gives_its_rows_their_cost() -> None:
    runs = [make_priced("byol", seed, seconds=100.0 + 100 * seed, flags=["busy machine"]) for seed in range(2)]
    runs += [make_priced("simclr", budget={"epochs": 2}), make_priced("random_init")]
    cost = make_cost(runs, {"byol": 0.2, "simclr": 0.1}, {**GPU_A, "devices": 2}, spread=0.05)
    rows = {row.first.entry: row for row in rows_of(runs, Prices((cost,)))}
    byol = rows["byol"]
    assert (byol.cost.n, byol.cost.sd, byol.unsafe) == (2, None, False)
    assert [byol.cost.mean, byol.cost.ci95] == pytest.approx([2 * 140.0, 2 * 7.0])
    assert byol.calibrated_time is not None and byol.calibrated_time.median == pytest.approx(140.0)
    assert byol.own_cost.mean == 150.0 and byol.own_clock_ratio is None  # made elsewhere
    assert rows["random_init"].price is None and rows["random_init"].cost.mean == 0.0
    assert rows["byol"].clock == rows["simclr"].clock != rows["random_init"].clock
    flagged = cost.model_copy(update={"flags": ["busy machine"]})
    assert {row.first.entry: row.unsafe for row in rows_of(runs, Prices((flagged,)))} == {
        "byol": True, "simclr": True, "random_init": False,
    }  # fmt: skip
    # One entry of one rung without a price, and none has one.
    vicreg = make_priced("vicreg", budget={"epochs": 2})
    assert [row.price for row in rows_of([*runs, vicreg], Prices((cost,)))] == [None] * 4
    failed = make_priced("vicreg", status="failed", measured=False)
    assert sum(row.price is not None for row in rows_of([*runs, failed], Prices((cost,)))) == 2


def test_a_comparison_knows_its_step_cost() -> None:
    runs = [make_priced("byol"), make_priced("random_init")]
    cost = make_cost(runs, {"byol": 0.2}, CPU)
    assert comparisons(runs, Prices((cost,)))[0].step_cost == cost
    assert comparisons(runs)[0].step_cost is None


def test_an_encoder_trained_elsewhere_is_a_guest_of_every_comparison_that_was_scored_alike(make_record: Any) -> None:
    ours = [make_record("byol", budget={"epochs": epochs}, top1=40.0 + epochs) for epochs in (2, 4)]
    floor = make_record("random_init", budget={"epochs": 4}, top1=30.0)
    theirs = make_external(top1=43.0)
    two, four = comparisons([theirs, *ours, floor])
    for comparison in (two, four):
        assert [row.first for row in comparison.guests] == [theirs]
        assert theirs not in comparison.records and comparison.first.method != "external"
        assert comparison.key != "" and not any(row.first.method == "external" for row in comparison.rows)
    assert [row.first.entry for row in two.shown] == ["theirs", "byol"]
    assert [row.first.entry for row in four.shown] == ["byol", "theirs", "random_init"]
    assert four.guests[0].cost.mean is None
    assert four.beats_random_init(four.guests[0]) == "yes"


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"image_size": 64}},
        {"dataset": {"manifest": "cd" * 32}},
        {"config": {"evaluation": {"protocols": ["linear-v2"]}}},
        {"rules_version": "0.9"},
    ],
)
def test_one_that_was_scored_otherwise_stands_alone(make_record: Any, change: dict[str, Any]) -> None:
    every = comparisons([make_record("byol"), make_external(**change)])
    assert sorted([row.first.entry for row in comparison.shown] for comparison in every) == [["byol"], ["theirs"]]
    assert not any(comparison.guests for comparison in every)


def test_encoders_trained_elsewhere_alone_are_compared_with_each_other() -> None:
    (alone,) = comparisons([make_external("one", top1=30.0), make_external("other", top1=40.0)])
    assert [row.first.entry for row in alone.rows] == ["other", "one"] and not alone.guests
