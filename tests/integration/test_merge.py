"""`bench merge` computes the keys of records again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from made_records import forge

if TYPE_CHECKING:
    from pathlib import Path


def test_a_runs_key_is_verified_and_an_altered_run_refused(bench: Any, tmp_path: Path) -> None:
    path = bench.finished(tmp_path / "a", "random_init") / "record.json"
    code, printed = bench("merge", tmp_path / "a", "--out", tmp_path / "all")
    assert code == 0 and "1 runs taken, 0 were there, 0 refused" in printed and "unverifiable" not in printed, printed
    record = json.loads(path.read_text())
    assert record["key_settings"] == {"settings": {}, "backbone": {"stem": "small", "width": 8}}
    record["config"]["batch_size"] = 64
    path.with_name("config.yaml").unlink()
    forge(path, record)
    code, printed = bench("merge", tmp_path / "a", "--out", tmp_path / "other")
    assert code == 1 and f"refused: {path}: its key is {record['key'][:8]}, but" in printed, printed
