from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cli.watch import watch_pages
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_watched_report_follows_its_records_and_ends_with_ctrl_c(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    results, out = tmp_path / "results", tmp_path / "report"
    results.mkdir()
    said: list[str] = []
    seen: list[str] = []
    acts = [
        lambda: store(results, make_record("byol")),
        lambda: None,
        lambda: (results / "notes.txt").write_text("of no concern"),
        lambda: store(results, make_record("simclr")),
        lambda: None,
    ]

    def wait(seconds: float) -> None:
        seen.append((out / "report.md").read_text(encoding="utf-8") if out.exists() else "")
        if not acts:
            raise KeyboardInterrupt
        acts.pop(0)()

    watch_pages([results], out, said.append, wait=wait)
    assert said[0].startswith("waiting: no record") and said[-1] == "stopped watching"
    assert [line.split(" ")[-1] for line in said[1:-1]] == [str(out / "index.html")] * 2  # written only on a change
    assert [("BYOL" in text, "SimCLR" in text) for text in seen] == [
        (False, False),
        *[(True, False)] * 3,
        *[(True, True)] * 2,
    ]


def test_a_folder_that_is_missing_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        watch_pages([tmp_path / "nowhere"], tmp_path / "out", print)
