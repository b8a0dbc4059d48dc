from __future__ import annotations

from benchmark.report import notes
from benchmark.report.tables import Table


def test_notes_explain_the_columns_that_are_there() -> None:
    assert "share a rank" in notes.leaderboard(Table(("Rank", "Entry"), frozenset(), ()))
    plain = notes.leaderboard(Table(("Entry", "Above random init"), frozenset(), ()))
    assert "share a rank" not in plain and "Above random init: whether" in plain
    assert "Published" not in notes.relative(Table(("Entry",), frozenset(), ()), calibrated=True)
    assert "Published ratios are of whole jobs" in notes.relative(
        Table(("Entry", "Published"), frozenset(), ()), calibrated=False
    )
    assert notes.targets(calibrated=True).endswith("the runs' own clocks.")
    assert notes.costs(calibrated=False).startswith("Memory is the peak")
