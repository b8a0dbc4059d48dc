from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark.records.folder import find_records, probe_path, read_probes, read_record, run_folder, write_record
from benchmark.records.schema import ProbeRecord


def test_a_record_comes_back_as_it_was(tmp_path: Path, make_record: Any) -> None:
    record = make_record("byol", ema_top1=44.0)
    write_record(tmp_path, record)
    assert read_record(tmp_path / "record.json") == record


def _changed(record: dict[str, Any], key: str, value: Any) -> str:
    changed = json.loads(json.dumps(record))
    *path, last = key.split(".")
    target = changed
    for part in path:
        target = target[part]
    target[last] = value
    return json.dumps(changed)


def test_what_is_no_record_is_named_with_the_reason(tmp_path: Path, make_record: Any) -> None:
    good = json.loads(make_record("byol").model_dump_json())
    cases = {
        "half": ('{"schema_version": 1, ', "not a JSON file"),
        "newer": (json.dumps({**good, "schema_version": 99}), "schema_version is 99, expected 1"),
        "list": ("[]", "schema_version is null"),
        "extra": (json.dumps({**good, "forged": 1}), "forged"),
        "percent": (
            _changed(good, "metrics.encoders.online.linear_top1", 200.0),
            "is 200.0; expected at most 100",
        ),
        "primary": (_changed(good, "metrics.primary", "x"), "primary is 'x'"),
        "negative": (_changed(good, "ledger.training_time", -1.0), "training_time: is -1.0; expected at least 0"),
        "infinite": (_changed(good, "ledger.training_time", float("inf")), "finite"),
        "text": (json.dumps({**good, "seed": "many"}), "seed: is 'many'; expected a whole number"),
        "switch": (json.dumps({**good, "seed": True}), "seed: is true; expected a whole number"),
        "quoted": (json.dumps({**good, "seed": "1"}), "seed: is '1'; expected a whole number"),
        "fraction": (json.dumps({**good, "seed": 1.5}), "seed: is 1.5; expected a whole number"),
        "number": (_changed(good, "environment.dirty", 1), "environment.dirty: is 1; expected true or false"),
    }
    for name, (text, _) in cases.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(text)
    write_record(tmp_path / "good", make_record("byol"))
    found, problems = find_records([tmp_path])
    assert len(found) == 1
    assert len(problems) == len(cases)
    for name, (_, reason) in cases.items():
        assert any(name in problem and reason in problem for problem in problems)


def test_folders_say_whose_run_it_is() -> None:
    folder = run_folder(Path("out"), "cifar10", "byol", 3, "0123456789abcdef")
    assert folder.as_posix() == "out/cifar10/byol/seed-3-01234567"
    assert (
        probe_path(folder, "sgd-v1").name == "sgd-v1.json"
        and probe_path(folder, "sgd-v1", "shapes").name == "sgd-v1.shapes.json"
    )


def test_probes_of_another_run_are_named(tmp_path: Path, make_record: Any) -> None:
    record = make_record("byol")
    write_record(tmp_path, record)
    probe = ProbeRecord(
        key=record.key, protocol="sgd-v1", dataset=record.dataset, scores={"top1": 50.0}, seconds=1.0,
        environment=record.environment, ended=record.ended,
    )  # fmt: skip
    for name, key in (("a", record.key), ("b", "f" * 16)):
        path = probe_path(tmp_path, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(probe.model_copy(update={"key": key}).model_dump_json())
    found, problems = read_probes(tmp_path / "record.json", record)
    assert found == [probe]
    assert len(problems) == 1 and "b.json: belongs to run ffffffff, not to" in problems[0]


def test_what_a_killed_merge_left_is_no_record(tmp_path: Path, make_record: Any) -> None:
    for folder in ("seed-0-01234567", ".seed-1-01234567.0badcafe-1.tmp"):
        write_record(tmp_path / "cifar10" / "byol" / folder, make_record("byol"))
    found, problems = find_records([tmp_path])
    assert [path.parent.name for path, _ in found] == ["seed-0-01234567"] and not problems
