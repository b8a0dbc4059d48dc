"""How many seeds the comparisons of a sweep need to detect a difference, from a spread between seeds that is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.comparison import MIN_RESULT, rows_of
from benchmark.analysis.findings import comparison_name
from benchmark.analysis.power import seeds_needed, smallest_difference, upper_spread
from benchmark.analysis.studies import effects
from benchmark.records.budgets import budget_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.records.schema import Record
    from benchmark.records.study import StudyRecord


@dataclass(frozen=True)
class SeedPlan:
    """A comparison, or several alike, with what is known about the spread of its paired differences.

    Attributes:
        spread: standard deviation of the differences over seeds, in points of linear top-1.
        measured: the number of seeds that the spread was estimated from.
        seeds: the number of seeds that the sweep has.
        comparisons: how many the correction is for.
    """

    entry: str
    parameter: str
    comparison: str
    spread: float
    measured: int
    seeds: int
    comparisons: int

    @property
    def detectable(self) -> float:
        """The smallest difference that the present seeds detect with a power of 80%, in points."""
        return smallest_difference(self.spread, self.seeds, self.comparisons)

    def needed(self, difference: float) -> int | None:
        """The seeds that detect a difference with a power of 80%; at least three (rule 19), None above 10,000."""
        return self._needed(difference, self.spread)

    def needed_at_most(self, difference: float) -> int | None:
        """The same with the upper 80% confidence limit of the spread, which a few seeds leave uncertain."""
        return self._needed(difference, upper_spread(self.spread, self.measured))

    def _needed(self, difference: float, spread: float) -> int | None:
        seeds = seeds_needed(difference, spread, self.comparisons)
        return None if seeds is None else max(MIN_RESULT, seeds)


def plan_of_study(record: StudyRecord) -> list[SeedPlan]:
    """Each comparison of a study whose values share at least two seeds, with the spread of its own differences."""
    plans = []
    for study in record.studies:
        for effect in effects(study):
            for pair in effect.compared:
                n, sd = pair.paired.n, pair.paired.sd or 0.0
                name = comparison_name(pair)
                plans.append(SeedPlan(study.entry, effect.name, name, sd, n, n, len(effect.compared)))
    return plans


@dataclass(frozen=True)
class SeedSpread:
    """The spread of one entry's linear top-1 between seeds, in points, and where it comes from."""

    entry: str
    sd: float
    seeds: int
    budget: str


def spread_of_runs(records: Sequence[Record], entry: str) -> SeedSpread | None:
    """The spread between the runs of an entry, of its row with the most seeds; None where no row has two."""
    rows = [row for row in rows_of(records) if row.first.entry == entry and row.invalid is None]
    row = max(rows, key=lambda row: row.accuracy.n, default=None)
    if row is None or row.accuracy.sd is None:
        return None
    return SeedSpread(entry, row.accuracy.sd, row.accuracy.n, budget_text(row.first))


def plan_from_runs(spread: SeedSpread, values: int, reference: str | None, parameter: str, seeds: int) -> SeedPlan:
    """The comparisons of a parameter that was not swept yet, all alike.

    Two values are taken to vary like the runs of the entry and independently of each other, so that their difference
    has the spread sqrt(2) sd. It is smaller where runs of one seed have something in common.

    Args:
        values: how many values the parameter has.
        reference: the experiment's own value, as text, if it is among them.
        seeds: of the sweep.
    """
    family = values - 1 if reference is not None else values * (values - 1) // 2
    against = "each pair of values" if reference is None else f"each value against {reference}"
    return SeedPlan(spread.entry, parameter, against, math.sqrt(2) * spread.sd, spread.seeds, seeds, family)
