"""Sentences on runs that did not follow each other: their times are of unlike states of the machine (rule 13)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import hardware_key, ladder_key, machine_text
from benchmark.analysis.interleaving import breaks, distances
from benchmark.records.budgets import budget_size, budget_text, fixed_cost
from benchmark.report import style
from benchmark.text import duration, listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.comparison import Comparison


def breaks_between_runs(comparisons: Sequence[Comparison]) -> list[str]:
    """Which runs of a seed did not follow each other; nothing where time is the budget, and so no outcome."""
    several = _several_machines(comparisons)
    said = []
    for comparison in comparisons:
        for one in breaks(comparison) if fixed_cost(comparison.first) is None else []:
            where = f" on {one.machine}" if several else ""
            before, after = (listing(dict.fromkeys(map(style.display, part))) for part in (one.before, one.after))
            said.append(
                f"{budget_text(comparison.first)} on {comparison.first.dataset.name}{where}, {_seeds(one.seeds)}: "
                f"{_up_to(one.seeds)}{duration(one.seconds)} lie between the runs of {before} and "
                f"those of {after}; ratios of their times also hold what the machine's speed changed meanwhile."
            )
    return said


def breaks_between_rungs(comparisons: Sequence[Comparison]) -> list[str]:
    """Which rungs of a ladder were measured long after each other, though a curve joins them."""
    several = _several_machines(comparisons)
    said = []
    ladders: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        if fixed_cost(comparison.first) is None:
            ladders.setdefault(ladder_key(comparison.first), []).append(comparison)
    for rungs in ladders.values():
        rungs.sort(key=lambda comparison: budget_size(comparison.first))
        for one, other in itertools.pairwise(rungs):
            for found in distances(one, other):
                where = f" on {machine_text(found.record)}" if several else ""
                apart = f"{_up_to(found.seeds)}{duration(found.seconds)}"
                said.append(
                    f"{budget_text(one.first)} and {budget_text(other.first)} on {one.first.dataset.name}{where}, "
                    f"{_seeds(found.seeds)}: {apart} lie between the runs of the two; the line that joins them also "
                    "holds what the machine's speed changed meanwhile."
                )
    return said


def _several_machines(comparisons: Sequence[Comparison]) -> bool:
    return len({hardware_key(record) for comparison in comparisons for record in comparison.records}) > 1


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {listing(map(str, seeds))}"


def _up_to(seeds: Sequence[int]) -> str:
    return "up to " if len(seeds) > 1 else ""
