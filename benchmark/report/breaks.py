"""Sentences on runs whose times were measured long after each other, maybe at another machine speed (rule 13)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import hardware_key
from benchmark.analysis.interleaving import Break, breaks, distances
from benchmark.analysis.ladders import ladders
from benchmark.records.budgets import budget_size, budget_text, fixed_cost
from benchmark.report import style
from benchmark.text import duration, listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.comparison import Comparison


def breaks_between_runs(comparisons: Sequence[Comparison]) -> list[str]:
    """The seeds whose runs did not follow each other; empty under a time budget, where times are no result."""
    several = _several_machines(comparisons)
    sentences = []
    for comparison in comparisons:
        for gap in breaks(comparison) if fixed_cost(comparison.first) is None else []:
            before, after = (listing(dict.fromkeys(map(style.display, part))) for part in (gap.before, gap.after))
            sentences.append(
                f"{budget_text(comparison.first)}{_where(gap, comparison, several)}: the runs of {before} and those of "
                f"{after} are {_apart(gap)}; ratios of their times include any change of the machine's speed in "
                "between."
            )
    return sentences


def breaks_between_rungs(comparisons: Sequence[Comparison]) -> list[str]:
    """The rungs of a ladder that were measured long after each other, though a line joins them."""
    several = _several_machines(comparisons)
    sentences = []
    for rungs in ladders([comparison for comparison in comparisons if fixed_cost(comparison.first) is None]):
        rungs.sort(key=lambda comparison: budget_size(comparison.first))
        for lower, upper in itertools.pairwise(rungs):
            for gap in distances(lower, upper):
                sentences.append(
                    f"{budget_text(lower.first)} and {budget_text(upper.first)}{_where(gap, lower, several)}: the runs "
                    f"of the two budgets are {_apart(gap)}; the line that joins them includes any change of the "
                    "machine's speed in between."
                )
    return sentences


def _several_machines(comparisons: Sequence[Comparison]) -> bool:
    return len({hardware_key(record) for comparison in comparisons for record in comparison.records}) > 1


def _where(gap: Break, comparison: Comparison, several: bool) -> str:
    machine = f" on {gap.machine}" if several else ""
    seeds = f"seed{'s' if len(gap.seeds) > 1 else ''} {listing(map(str, gap.seeds))}"
    return f" on {comparison.first.dataset.name}{machine}, {seeds}"


def _apart(gap: Break) -> str:
    return f"{'up to ' if len(gap.seeds) > 1 else ''}{duration(gap.seconds)} apart"
