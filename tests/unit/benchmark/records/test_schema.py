"""Records: written whole or not at all, read strictly."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.files import write_atomically
from benchmark.records.folder import find_records, read_record, write_record

if TYPE_CHECKING:
    from pathlib import Path


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
        "list": ("[]", "schema_version is None"),
        "extra": (json.dumps({**good, "forged": 1}), "forged"),
        "percent": (_changed(good, "metrics.encoders.online.linear_top1", 200.0), "less than or equal to 100"),
        "primary": (_changed(good, "metrics.primary", "x"), "primary is 'x'"),
        "negative": (_changed(good, "ledger.training_time", -1.0), "greater than or equal to 0"),
        "infinite": (_changed(good, "ledger.training_time", float("inf")), "finite"),
        "typed": (json.dumps({**good, "seed": "many"}), "seed"),
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


def test_a_failed_write_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
