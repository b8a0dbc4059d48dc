from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made_costs import CPU, GPU_A, make_cost, make_priced, store_cost
from pydantic import ValidationError

from benchmark.records.cost import Hardware, Interval, find_costs, read_cost

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = [make_priced("byol"), make_priced("simclr")]
SECONDS = {"byol": 0.2, "simclr": 0.1}


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    cost = make_cost(RECORDS, SECONDS)
    path = store_cost(tmp_path, cost)
    assert path == tmp_path / "cifar10/costs/cpu-2-threads-avx512-bf16-bf16-abababab.json"
    assert read_cost(path) == cost
    assert find_costs([tmp_path]) == ([(path, cost)], [])


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = store_cost(tmp_path, make_cost(RECORDS, SECONDS))
    path.write_text(path.read_text().replace('"seconds": 1.0', '"seconds": 0.9'))
    with pytest.raises(ValueError, match=r"its key is .* but its content gives"):
        read_cost(path)
    found, problems = find_costs([tmp_path])
    assert not found
    assert len(problems) == 1


def test_an_interval_holds_its_median() -> None:
    assert Interval(median=2.0, low=1.9, high=2.1).half_width == pytest.approx(0.05)
    assert Interval(median=2.0, low=1.9, high=2.1).times(10) == Interval(median=20.0, low=19.0, high=21.0)
    with pytest.raises(ValidationError, match="not between"):
        Interval(median=3.0, low=1.0, high=2.0)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"instructions": "AVX2"}, False),  # two machines that both call themselves "AMD EPYC"
        ({"threads": 1}, False),
        ({"precision": "32"}, False),
        ({"torch": "2.15"}, False),
        ({}, True),
    ],
)
def test_what_decides_speed_is_in_the_hardware_key(changes: dict[str, Any], same: bool) -> None:
    assert (Hardware(**CPU).key == Hardware(**{**CPU, **changes}).key) is same


def test_a_gpu_does_not_depend_on_the_cpus_instructions() -> None:
    assert Hardware(**GPU_A).key == Hardware(**{**GPU_A, "threads": 8, "instructions": "AVX2"}).key
    assert Hardware(**GPU_A).name == "imaginary-a1-bf16"
    assert Hardware(**GPU_A).text == "Imaginary A1, bfloat16, torch 2.14"
    assert Hardware(**CPU).text == "cpu, 2 threads, AVX512 BF16, bfloat16, torch 2.14"


def test_too_few_rounds_price_nothing() -> None:
    assert set(make_cost(RECORDS, SECONDS).prices) == {entry.step_key for entry in make_cost(RECORDS, SECONDS).entries}
    assert make_cost(RECORDS, SECONDS, rounds=4).prices == {}
    assert make_cost(RECORDS, SECONDS, status="unfinished").prices == {}
