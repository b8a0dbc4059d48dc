from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made_costs import CPU, GPU_A, make_cost, make_priced, store_cost

from benchmark.analysis.merge_costs import merge_costs
from benchmark.records.cost import StepCost, find_costs

if TYPE_CHECKING:
    from pathlib import Path


def cost(hardware: dict[str, Any] = CPU, seconds: float = 0.2, **options: Any) -> StepCost:
    return make_cost([make_priced("byol")], {"byol": seconds}, hardware, **options)


def test_records_of_several_machines_come_together(tmp_path: Path) -> None:
    here, there = cost(), cost(GPU_A)
    for folder, record in (("a", here), ("b", there), ("b", here)):
        store_cost(tmp_path / folder, record)
    sources = [tmp_path / "a", tmp_path / "b"]
    assert merge_costs(sources, tmp_path / "all", lambda _: None) == (2, [])
    found, problems = find_costs([tmp_path / "all"])
    assert [record for _, record in found] == [here, there] and not problems
    assert {path.parent for path, _ in found} == {tmp_path / "all" / "cifar10" / "costs"}
    assert merge_costs([*sources, tmp_path / "all"], tmp_path / "all", lambda _: None) == (0, [])


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_of_two_stages_of_a_measurement_the_later_one_is_kept(tmp_path: Path, order: tuple[str, str]) -> None:
    store_cost(tmp_path / "a", cost(rounds=6, status="unfinished"))
    store_cost(tmp_path / "b", cost(rounds=8))
    for source in order:
        assert merge_costs([tmp_path / source], tmp_path / "all", lambda _: None)[1] == []
    assert [record.rounds for _, record in find_costs([tmp_path / "all"])[0]] == [8]


def test_two_complete_measurements_of_one_kind_of_machine_both_stay(tmp_path: Path) -> None:
    records = [cost(), cost(seconds=0.3), cost(seconds=0.4, rounds=20)]
    for name, record in zip(("a", "b", "c"), records, strict=True):
        store_cost(tmp_path / name, record)
    sources = [tmp_path / name for name in ("a", "b", "c")]
    assert merge_costs(sources, tmp_path / "all", lambda _: None) == (3, [])
    assert merge_costs(sources, tmp_path / "all", lambda _: None) == (0, [])
    found = find_costs([tmp_path / "all"])[0]
    assert {record.key for _, record in found} == {record.key for record in records}


def test_changed_files_are_refused_and_never_overwritten(tmp_path: Path) -> None:
    path = store_cost(tmp_path / "a", cost())
    store_cost(tmp_path / "b", cost(rounds=9))
    path.write_text(path.read_text().replace('"seconds": 2.0', '"seconds": 1.0'))
    copied, refused = merge_costs([tmp_path / "a"], tmp_path / "all", lambda _: None)
    assert copied == 0 and "its content gives" in refused[0]
    copied, refused = merge_costs([tmp_path / "b"], tmp_path / "a", lambda _: None)
    assert copied == 0 and "in its place is a damaged file" in refused[0]
