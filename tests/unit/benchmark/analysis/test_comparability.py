from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.comparability import (
    comparison_key,
    cost_key,
    differing_fields,
    frozen_key,
    ladder_key,
    quality_key,
)
from benchmark.analysis.comparison import comparisons
from benchmark.records.budgets import budget_text


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": {"manifest": "cd" * 32}},
        {"config": {"image_size": 64}},
        {"config": {"precision": "32"}},
        {"config": {"batch_size": 128}},
        {"config": {"evaluation": {"points": 5, "protocols": ["linear-v2", "knn-v1"]}}},
        {"config": {"dataset": {"pretrain": "train+unlabelled"}}},
        {"rules_version": "0.9"},
        {"crops": "reader"},
        {"config": {"accumulate": 4}},
        {"config": {"acceleration": {"networks": "compiled"}}},
    ],
)
def test_what_changes_accuracy_changes_every_key(make_record: Any, change: dict[str, Any]) -> None:
    before, after = make_record(), make_record(**change)
    for key in (quality_key, cost_key, ladder_key):
        assert key(before) != key(after)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"environment": {"device_model": "H200"}}, False),
        ({"environment": {"devices": 2}}, False),
        ({"environment": {"cpu_model": "EPYC"}}, False),
        ({"environment": {"visible_cores": 8}}, False),
        ({"environment": {"packages": {"torch": "2.15.0"}}}, False),
        ({"environment": {"packages": {"torch": "2.14.7+cu130"}}}, True),
        ({"environment": {"threads": 1}}, False),
        ({"environment": {"memory_bytes": 1}}, True),
        ({"dataset": {"name": "folder"}}, True),
        ({"config": {"evaluation": {"points": 9, "protocols": ["linear-v1", "knn-v1"]}}}, True),
        ({"budget": {"epochs": 10.0}}, True),
        ({"entry": "simclr", "backbone": "vit_tiny", "seed": 3}, True),
    ],
)
def test_hardware_changes_the_cost_key_alone(make_record: Any, change: dict[str, Any], same: bool) -> None:
    before, after = make_record(), make_record(**change)
    assert quality_key(before) == quality_key(after)
    assert (cost_key(before) == cost_key(after)) is same
    assert len(quality_key(before)) == 12 and int(quality_key(before), 16) >= 0


def test_threads_beside_a_gpu_change_no_key(make_record: Any) -> None:
    one, many = (make_record(environment={"device": "cuda", "threads": threads}) for threads in (1, 16))
    assert cost_key(one) == cost_key(many)


def test_rungs_differ_in_quality_but_share_a_ladder(make_record: Any) -> None:
    short, full = make_record(budget={"epochs": 2}), make_record(budget={"epochs": 10, "steps": None})
    assert quality_key(short) != quality_key(full)
    assert ladder_key(short) == ladder_key(full)
    assert (budget_text(full), budget_text(make_record(budget={"epochs": 1.0}))) == ("10 epochs", "1 epoch")


def test_a_time_budget_belongs_to_the_cost_key_and_is_ranked_there(make_record: Any) -> None:
    short, full = (make_record(budget={"wall_clock": seconds}) for seconds in (60, 600))
    assert quality_key(short) == quality_key(full)
    assert cost_key(short) != cost_key(full)
    assert comparison_key(full) == cost_key(full)
    assert comparison_key(make_record()) == quality_key(make_record())
    assert quality_key(full) != quality_key(make_record())
    other = make_record(budget={"wall_clock": 600}, environment={"cpu_model": "EPYC"})
    assert len(comparisons([full, other])) == 2


def test_entries_of_a_calibrated_budget_are_compared_whatever_their_steps_and_machine(make_record: Any) -> None:
    def record(entry: str, steps: int, step_cost: str = "ab" * 16, **options: Any) -> Any:
        return make_record(entry, budget={"calibrated_time": 600.0, "steps": steps, "step_cost": step_cost}, **options)

    ours, theirs = record("byol", 100), record("simclr", 200, environment={"cpu_model": "EPYC"})
    assert comparison_key(ours) == quality_key(ours) == quality_key(theirs)
    assert cost_key(ours) != cost_key(theirs)
    assert len(comparisons([ours, theirs, record("random_init", 0)])) == 1
    other = record("vicreg", 100, "cd" * 16)
    assert quality_key(other) != quality_key(ours)
    assert differing_fields([ours, other]) == {
        "budget": [f"600 s of calibrated time by step cost {key * 4}" for key in ("ab", "cd")]
    }
    assert ladder_key(ours) == ladder_key(make_record())


def test_older_records_keep_their_keys_and_are_told_from_those_with_other_crops(make_record: Any) -> None:
    plain = make_record()
    assert "crops" in plain.model_dump() and quality_key(plain) == quality_key(make_record(crops="device"))
    differing = differing_fields([plain, make_record(crops="reader")])
    assert differing == {"training crops": ["device", "reader"]}


def test_differing_fields_are_named_with_their_values(make_record: Any) -> None:
    records = [make_record(), make_record("simclr", config={"precision": "32"}, environment={"visible_cores": 16})]
    assert differing_fields(records) == {"precision": ["bf16", "32"], "visible cores": ["2", "16"]}
    assert differing_fields(records[:1]) == {}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"config": {"precision": "32", "batch_size": 8}}, True),
        ({"config": {"accumulate": 4}}, True),
        ({"budget": {"wall_clock": 60}}, True),
        ({"environment": {"cpu_model": "EPYC"}}, True),
        ({"config": {"image_size": 64}}, False),
        ({"dataset": {"manifest": "cd" * 32}}, False),
        ({"config": {"evaluation": {"points": 5, "protocols": ["linear-v2"]}}}, False),
        ({"rules_version": "0.9"}, False),
    ],
)
def test_how_an_encoder_was_trained_is_no_part_of_how_it_is_scored(
    make_record: Any, change: dict[str, Any], same: bool
) -> None:
    assert (frozen_key(make_record()) == frozen_key(make_record(**change))) is same
