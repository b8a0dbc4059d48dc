from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.compare import changes, unlike


def by_entry(first: list[Any], second: list[Any]) -> dict[str, Any]:
    return {change.entry: change for change in changes(first, second)}


def test_what_differs_is_named_once_with_both_sides(make_record: Any) -> None:
    first = [make_record("byol", 0), make_record("byol", 1)]
    second = [
        make_record("byol", 0, budget={"epochs": 20}, environment={"commit": "f" * 40, "packages": {"torch": "2.15.0"}})
    ]
    found = {name: (one, other) for name, one, other in unlike(first, second)}
    assert found["budget"] == ("10 epochs", "20 epochs")
    assert found["seed"] == ("0, 1", "0")
    assert found["commit"] == ("3d5bcc200000", "f" * 12)
    assert found["torch"] == ("2.14", "2.15") and found["timm"] == ("1.0.31", "")
    assert "dataset" not in found
    assert unlike(first, list(first)) == []


def test_the_same_runs_are_equal_and_what_is_in_one_folder_alone_is_said(make_record: Any) -> None:
    byol, simclr = make_record("byol"), make_record("simclr")
    found = by_entry([byol, simclr], [byol.model_copy(), make_record("vicreg")])
    assert found["byol"].verdict == "equal" and found["byol"].difference == 0.0
    assert (found["simclr"].verdict, found["vicreg"].verdict) == ("only in the first", "only in the second")


def test_changes_are_paired_by_seed_and_corrected(make_record: Any) -> None:
    first = [make_record(entry, seed, top1=40.0 + seed) for entry in ("byol", "simclr") for seed in range(4)]
    moved = {"byol": (3.0, 3.1, 2.9, 3.0), "simclr": (1.0, -1.0, 0.5, -0.4)}
    second = [
        make_record(entry, seed, top1=40.0 + seed + shift, config={"method": {"momentum": 0.5}})
        for entry, shifts in moved.items()
        for seed, shift in enumerate(shifts)
    ]
    found = by_entry(first, second)
    assert found["byol"].verdict == "higher" and abs(found["byol"].difference - 3.0) < 1e-9
    assert found["byol"].p < 0.001 and found["byol"].ci95 < 0.2
    assert found["simclr"].verdict == "no significant difference"
    assert found["byol"].reproduced == (0, 0)


def test_other_settings_are_named_and_other_data_are_not_compared(make_record: Any) -> None:
    first = [make_record("byol", seed) for seed in range(3)]
    tuned = [make_record("byol", seed, config={"method": {"optimizer": {"lr": 0.002}}}) for seed in range(3)]
    assert unlike(first, tuned) == [("byol: method.optimizer.lr", "0.001", "0.002")]
    elsewhere = [make_record("byol", seed, top1=80.0, dataset={"manifest": "cd" * 32}) for seed in range(3)]
    change = by_entry(first, elsewhere)["byol"]
    assert change.verdict == "not comparable: dataset manifest" and change.p is None


def test_rows_of_one_name_are_paired_by_their_settings(make_record: Any) -> None:
    wide, narrow = {"method": {"output_dim": 512}}, {"method": {"output_dim": 64}}
    first = [make_record("byol", top1=40.0), make_record("byol", 1, top1=50.0, config=wide)]
    second = [make_record("byol", 1, top1=50.0, config=wide), make_record("byol", 2, top1=40.0, config=narrow)]
    found = changes(first, second)
    verdicts = sorted(change.verdict for change in found)
    assert verdicts[0] == "equal" and verdicts[1].startswith("no significant difference (preliminary, within ± ")
    assert len(verdicts) == 2
    assert len(changes(first, second[:1])) == 2


def test_single_seeds_are_judged_by_the_test_splits_error(make_record: Any) -> None:
    first = [make_record("byol", top1=40.0), make_record("simclr", top1=40.0)]
    second = [make_record("byol", 1, top1=41.0), make_record("simclr", 1, top1=45.0)]
    found = by_entry(first, second)
    assert found["byol"].verdict.startswith("no significant difference (preliminary, within ± ")
    assert found["simclr"].verdict == "higher (preliminary)"


def test_times_are_compared_on_like_machines_where_nothing_speaks_against_them(make_record: Any) -> None:
    first = [make_record("byol", seconds=100.0)]
    assert by_entry(first, [make_record("byol", seconds=150.0)])["byol"].time_ratio == 1.5
    assert by_entry(first, [make_record("byol", flags=["busy machine"])])["byol"].time_ratio is None
    assert by_entry(first, [make_record("byol", environment={"cpu_model": "another"})])["byol"].time_ratio is None


def test_failures_are_no_numbers(make_record: Any) -> None:
    failed = make_record("byol", status="failed", cause="exception", measured=False)
    change = by_entry([make_record("byol")], [failed])["byol"]
    assert change.difference is None and change.verdict == "completed / failed (exception)"


def test_rows_of_two_machines_are_paired_machine_by_machine(make_record: Any) -> None:
    one, two = ({"threads": 1}, {"threads": 2})
    first = [make_record("byol", seconds=100.0, environment=one), make_record("byol", seconds=60.0, environment=two)]
    second = [make_record("byol", seconds=66.0, environment=two), make_record("byol", seconds=150.0, environment=one)]
    ratios = [change.time_ratio for change in changes(first, second)]
    assert ratios == pytest.approx([1.5, 1.1])
