"""Ladders: the comparisons that differ in their budget alone, and the order in which a report shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.comparability import grouped, ladder_key
from benchmark.records.budgets import budget_kind, budget_size, is_cost_budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.comparison import Comparison


def ladders(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """The comparisons that differ in their budget alone, together."""
    return list(grouped(comparisons, lambda comparison: ladder_key(comparison.first)).values())


def in_reading_order(rungs: Sequence[Comparison]) -> list[Comparison]:
    """The rungs of one ladder in the order in which a report shows them; the first one has the answer.

    Kinds of budget are in order of the number of measured runs at their largest rung, data before cost if equal;
    within a kind the largest budget comes first.
    """
    kinds = grouped(rungs, lambda rung: budget_kind(rung.first))

    def runs(rung: Comparison) -> int:
        return sum(len(row.measured) for row in rung.rows)

    for same_kind in kinds.values():
        same_kind.sort(key=lambda rung: (-budget_size(rung.first), -runs(rung)))

    def place(kind: str) -> tuple[int, bool, str]:
        return -runs(kinds[kind][0]), is_cost_budget(kinds[kind][0].first), kind

    return [rung for kind in sorted(kinds, key=place) for rung in kinds[kind]]
