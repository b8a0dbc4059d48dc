from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.analysis.merge import merge
from benchmark.records import find_records

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def two(make_record: Any, store: Any, tmp_path: Path) -> tuple[Path, Path]:
    """Two machines' results, with one run in common."""
    for machine, seeds in (("a", (0, 1)), ("b", (1, 2))):
        for seed in seeds:
            record = make_record("byol", seed, config={"seed": seed})
            path = store(tmp_path / machine, record)
            (path.parent / "config.yaml").write_text(yaml.safe_dump(record.config))
            (path.parent / "probes").mkdir()
            (path.parent / "probes" / "lowshot-v1.json").write_text("{}")
    return tmp_path / "a", tmp_path / "b"


def test_runs_come_together_once_each(two: tuple[Path, Path], tmp_path: Path) -> None:
    merged = merge(two, tmp_path / "all")
    assert (len(merged.taken), merged.there, merged.refused) == (3, 1, [])
    found, problems = find_records([tmp_path / "all"])
    assert [record.seed for _, record in found] == [0, 1, 2] and not problems
    assert all((path.parent / "probes" / "lowshot-v1.json").is_file() for path, _ in found)
    again = merge([*two, tmp_path / "all"], tmp_path / "all")
    assert (len(again.taken), again.there, again.refused) == (0, 7, [])


def _changed(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text())
    for name, value in changes.items():
        target = data
        *keys, last = name.split("__")
        for key in keys:
            target = target[key]
        target[last] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 99}, "schema_version is 99"),
        ({"metrics__encoders__online__linear_top1": 140.0}, "less than or equal to 100"),
        ({"metrics__encoders__online__linear_top1": 99.0}, "higher top-1 than top-5"),
        ({"seed": 7}, "lies in cifar10/byol/seed-0"),
        ({"config__batch_size": 1}, "not that of config.yaml"),
        ({"metrics": None}, "its status is completed, but it has no scores"),
        ({"cause": "exception"}, "its status is completed, its cause exception"),
        ({"ledger__total_time": 10.0}, "its phases sum to"),
        ({"ledger__device_hours": 0.5}, "its device-hours are 0.5000"),
        ({"ledger__data_wait": 1e4}, "waited longer for data"),
    ],
)
def test_records_that_contradict_themselves_are_refused_by_name(
    two: tuple[Path, Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (path,) = two[0].glob("*/byol/seed-0-*/record.json")
    _changed(path, **changes)
    merged = merge(two, tmp_path / "all")
    assert len(merged.taken) == 2 and len(merged.refused) == 1
    assert message in merged.refused[0] and str(path) in merged.refused[0]


def test_two_different_records_of_one_run_are_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    (path,) = two[1].glob("*/byol/seed-1-*/record.json")
    _changed(path, metrics__encoders__online__linear_top1=46.0)
    merged = merge(two, tmp_path / "all")
    assert len(merged.taken) == 3 and "another record of the same run" in merged.refused[0]


def test_links_are_not_followed(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("no result")
    (path,) = two[0].glob("*/byol/seed-0-*/record.json")
    (path.parent / "link.txt").symlink_to(tmp_path / "secret")
    merge(two, tmp_path / "all")
    assert not list((tmp_path / "all").rglob("link.txt"))
