"""Which rows of a comparison are the best, and which are not significantly worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from benchmark.analysis.comparison import REFERENCES, Comparison, Row
from benchmark.analysis.differences import Difference, all_pairs, differences

if TYPE_CHECKING:
    from collections.abc import Sequence

Standing = Literal["best", "not worse", ""]


def self_supervised(comparison: Comparison) -> list[Row]:
    """The valid rows with a mean that are no reference, the most accurate first."""
    return [
        row
        for row in comparison.rows
        if row.accuracy.mean is not None and row.invalid is None and row.first.method not in REFERENCES
    ]


def not_worse(best: Row, others: Sequence[Row], comparison: Comparison) -> list[tuple[Row, Difference | None]]:
    """The rows that may be as good as the most accurate one: by the paired test if there is one, else by intervals.

    Returns:
        Each with its test: `best` - row, or None where there was none and the intervals overlap.
    """
    pairs = all_pairs([best, *others], differences(comparison))
    tests = {id(pair.reference): pair for pair in pairs if pair.row is best and pair.p is not None}
    lowest = (best.accuracy.mean or 0.0) - (best.half_width or 0.0)
    alike: list[tuple[Row, Difference | None]] = []
    for row in others:
        test = tests.get(id(row))
        if test is not None and test.verdict != "higher":
            alike.append((row, test))
        elif test is None and (row.accuracy.mean or 0.0) + (row.half_width or 0.0) >= lowest:
            alike.append((row, None))
    return alike


def standings(comparisons: Sequence[Comparison]) -> list[Standing]:
    """The standing of every row that the leaderboard shows, in its order.

    The best is the self-supervised row with the highest mean linear top-1 that did not collapse; references and
    collapsed, invalid and guest rows have no standing.
    """
    every: list[Standing] = []
    for comparison in comparisons:
        rows = [row for row in self_supervised(comparison) if not row.collapsed]
        words: dict[int, Standing] = {id(rows[0]): "best"} if rows else {}
        words |= {id(row): "not worse" for row, _ in (not_worse(rows[0], rows[1:], comparison) if rows else [])}
        every += [words.get(id(row), "") for row in comparison.shown]
    return every
