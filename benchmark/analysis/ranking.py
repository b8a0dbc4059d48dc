"""Ranks that claim no more than the seeds support: rows that are not told apart share one (rules 19 and 20)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.differences import all_pairs

if TYPE_CHECKING:
    from benchmark.analysis.comparison import Comparison


@dataclass(frozen=True)
class Rank:
    """A row's place among the rows that may be ranked.

    Attributes:
        place: 1 + the number of rows with a better rank.
        tie: whether other rows share it.
    """

    place: int
    tie: bool

    @property
    def text(self) -> str:
        """`2`, or `tie 2` where it is shared."""
        return f"tie {self.place}" if self.tie else str(self.place)


def ranks(comparison: Comparison) -> dict[int, Rank]:
    """The ranks of the rows that may be ranked, by `id` of the row.

    The rows stand by falling mean linear top-1. Two neighbours get different ranks only where every ranked row above
    the line between them is told apart from every one below it, by the paired test, Holm-corrected over all pairs of
    ranked rows. So rows of different ranks always differ; "not told apart" is not transitive, and of three rows that
    share a rank the first and the last may differ. Pairs that cannot be tested (fewer than three common seeds, or no
    spread) are not told apart.
    """
    rows = [row for row in comparison.rows if row.may_be_ranked]
    places = {id(row): place for place, row in enumerate(rows)}
    apart = {(places[id(p.row)], places[id(p.reference)]) for p in all_pairs(rows) if p.verdict == "higher"}
    n = len(rows)
    lines = [k for k in range(1, n) if all((i, j) in apart for i in range(k) for j in range(k, n))]
    return {
        id(row): Rank(start + 1, tie=end - start > 1)
        for start, end in itertools.pairwise([0, *lines, n])
        for row in rows[start:end]
    }
