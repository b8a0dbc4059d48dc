"""Records that a bug made wrong stay visible, struck out, and count for nothing."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from benchmark.analysis.comparison import comparisons, rows_of
from benchmark.analysis.differences import differences, ranks
from benchmark.analysis.tables import leaderboard
from benchmark.records import invalid as invalidations
from benchmark.records.folder import find_records
from benchmark.records.invalid import Invalidation, known_invalidations, why_invalid
from benchmark.report.cost_figure import cost_vs_accuracy
from benchmark.report.page import write_report

if TYPE_CHECKING:
    from pathlib import Path

REASON = "targets of the last row were never drawn"


@pytest.fixture
def records(make_record: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Five seeds of three entries, one run of `byol` made wrong by a bug."""
    made = [
        make_record(entry, seed, top1=top1 + spread * seed, config={"reference": "vicreg"})
        for entry, top1, spread in (("byol", 60.0, 1.0), ("simclr", 45.0, 1.25), ("vicreg", 40.0, 1.0))
        for seed in range(5)
    ]
    known = (Invalidation(reason=REASON, until=date(2026, 1, 5), records=(made[2].key[:8],)),)
    monkeypatch.setattr(invalidations, "known_invalidations", lambda: known)
    return made


def test_an_invalid_row_is_last_unranked_and_compared_with_nothing(records: list[Any]) -> None:
    (comparison,) = comparisons(records)
    assert [row.first.entry for row in comparison.rows] == ["simclr", "vicreg", "byol"]
    assert [place.text if (place := ranks(comparison).get(id(row))) else "" for row in comparison.rows] == [
        "1",
        "2",
        "",
    ]
    assert [one.row.first.entry for one in differences(comparison)] == ["simclr"]
    board = leaderboard(records).set_index("entry")
    assert board.loc["byol", "flags"] == f"invalid: {REASON}" and board.loc["byol", "linear_top1_mean"] == 62.0
    assert board.loc["simclr", "flags"] == ""


def test_the_same_run_with_the_fix_is_valid_again(records: list[Any]) -> None:
    wrong = records[2]
    assert why_invalid(wrong) == REASON
    assert why_invalid(wrong.model_copy(update={"ended": "2026-01-06T00:30:00+00:00"})) is None
    # The day is that of UTC.
    assert why_invalid(wrong.model_copy(update={"ended": "2026-01-06T00:30:00+02:00"})) == REASON
    assert why_invalid(records[3]) is None


@pytest.mark.slow
def test_it_is_struck_out_in_the_page_and_not_drawn(records: list[Any], store: Any, tmp_path: Path) -> None:
    for record in records:
        store(tmp_path / "results", record)
    found, _ = find_records([tmp_path / "results"])
    page = write_report(found, [], tmp_path / "report").read_text()
    assert "<s>BYOL</s>" in page and "<s>SimCLR</s>" not in page and REASON in page
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "~~BYOL~~" in markdown and "SimCLR has the highest linear top-1" in markdown
    texts = {text.get_text() for text in cost_vs_accuracy(rows_of(records)).findobj(lambda a: hasattr(a, "get_text"))}
    assert not any("BYOL" in text for text in texts) and any("SimCLR" in text for text in texts)


def test_this_versions_file_is_readable_and_mistakes_in_one_are_not_passed_over(tmp_path: Path) -> None:
    assert all(one.reason for one in known_invalidations())
    path = tmp_path / "bad.yaml"
    for text in (
        "- {reason: x, until: 2026-01-05, records: [abc]}",
        "- {reason: '', until: 2026-01-05, records: []}",
        "- {reason: x, records: []}",
        "- {reason: x, until: 2026-01-05, keys: []}",
    ):
        path.write_text(text)
        with pytest.raises(ValidationError):
            known_invalidations(path)
    path.write_text("- {reason: x, until: 2026-01-05, records: [0123abcd]}")
    assert known_invalidations(path) == (Invalidation(reason="x", until=date(2026, 1, 5), records=("0123abcd",)),)
