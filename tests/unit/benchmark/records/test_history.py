from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmark.records import history
from benchmark.records.history import read_history

if TYPE_CHECKING:
    from pathlib import Path


def test_history_without_a_file_or_with_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert read_history(path) == []
    path.write_text('{"kind": "step"}\n[1]\n3\n{"kind": "st')
    assert read_history(path) == [{"kind": "step"}]


def test_damaged_lines_cost_themselves_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    bad = ["[" * 100_000, '{"loss": 1e999}', '{"kind": "\\ud800"}', '{"step": ' + "9" * 5000 + "}", ""]
    path.write_bytes("\n".join([*bad, '{"step": 1, "loss": NaN}']).encode() + b"\n\xff\xfe\n")
    assert [line["step"] for line in read_history(path)] == [1]


def test_a_file_that_cannot_be_a_history_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory\)"):
        read_history(tmp_path)
    (tmp_path / "history.jsonl").write_text("x" * 11)
    monkeypatch.setattr(history, "MOST_JSON_BYTES", 10)
    with pytest.raises(ValueError, match=r"is 11 bytes long; expected at most 10"):
        read_history(tmp_path / "history.jsonl")
