"""Differences between entries, to a declared reference and in pairs: paired by seed, Holm-corrected (rule 20).

Shared by the leaderboard and the report; accuracies are linear top-1 of the primary encoder on the test split.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import tags_of
from benchmark.analysis.comparison import MIN_RESULT, Comparison, Row
from benchmark.analysis.statistics import (
    ALPHA,
    PairedDifference,
    holm,
    holm_half_widths,
    paired_difference,
    probability_of_improvement,
)
from benchmark.records.schema import TUNED, UNTUNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.records.schema import Record


@dataclass(frozen=True)
class Difference:
    """The difference between two rows, of which the second is in most tables the declared reference.

    Attributes:
        paired: row - reference in percentage points, over the seeds that both were measured on.
        p: Holm-corrected over all that are tested together and have enough pairs; None for those that have not.
        improvement: how often a run of the row beats a run of the reference, over all pairs of runs.
        half_width: half of the interval that belongs to p (`holm_half_widths`): it includes zero exactly where the
            difference is not significant. Of a difference that is not tested, half of the plain 95% interval.
    """

    row: Row
    reference: Row
    paired: PairedDifference
    p: float | None
    improvement: float | None
    half_width: float | None

    @property
    def verdict(self) -> str:
        """`higher`, `lower` or `tie`; empty for too few seeds."""
        if self.p is None:
            return ""
        if self.p >= ALPHA:
            return "tie"
        return "higher" if (self.paired.mean or 0.0) > 0 else "lower"


def declared_references(comparison: Comparison) -> list[str]:
    """The entries that a comparison's experiments declare as their reference.

    The runs of a sweep are experiments of one entry each, so their declarations do not count.
    """
    results = [r for r in comparison.records if r.purpose == "result" and not {TUNED, UNTUNED} & set(tags_of(r))]
    return sorted({str(name) for record in results if (name := record.config.get("reference"))})


def reference_of(comparison: Comparison) -> Row | None:
    """The row of the declared reference; None without one, or if several are declared.

    Of several rows of that name (machines, experiments) it is the one with the most measured runs, then the first by
    experiment, so that accuracy does not decide.
    """
    declared = declared_references(comparison)
    if len(declared) != 1:
        return None
    name = declared[0]
    rows = [row for row in comparison.rows if row.first.entry == name and row.measured and row.invalid is None]
    return min(rows, key=lambda row: (-len(row.measured), row.first.experiment, row.first.started), default=None)


def differences(comparison: Comparison) -> list[Difference]:
    """The difference of every other row to the reference, in the comparison's order; empty without a reference."""
    reference = reference_of(comparison)
    if reference is None:
        return []
    others = [row for row in comparison.rows if row is not reference and row.measured and row.invalid is None]
    return _tested([(row, reference) for row in others])


def tuning_differences(comparison: Comparison) -> list[Difference]:
    """The difference of each tuned row to its entry with the recipe's settings; one family for Holm's correction.

    Of several untuned rows (machines), the one with the most seeds in common is taken.
    """
    sound = [row for row in comparison.rows if row.measured and row.invalid is None]
    tuned = [row for row in sound if TUNED in tags_of(row.first)]
    plain = [row for row in sound if TUNED not in tags_of(row.first) and row.first.purpose == "result"]

    def recipe_of(row: Row) -> Row | None:
        """The entry that a point is named after: `simclr.lr-0.003` after `simclr`."""
        alike = [recipe for recipe in plain if row.first.entry.startswith(f"{recipe.first.entry}.")]
        seeds = {record.seed for record in row.measured}
        common = {id(recipe): len(seeds & {record.seed for record in recipe.measured}) for recipe in alike}
        return max(alike, key=lambda recipe: (len(recipe.first.entry), common[id(recipe)]), default=None)

    return _tested([(row, recipe) for row in tuned if (recipe := recipe_of(row)) is not None])


def all_pairs(rows: Sequence[Row], declared: Sequence[Difference] = ()) -> list[Difference]:
    """The difference of every row to every later one, Holm-corrected over all pairs together.

    Pairs among the `declared` differences (to the declared reference) keep their p and interval, so that a report has
    one verdict for a pair; the others are a family of their own.
    """
    known = {frozenset((id(pair.row), id(pair.reference))): pair for pair in declared if pair.p is not None}
    pairs = {frozenset(map(id, pair)): pair for pair in itertools.combinations(rows, 2)}
    others = iter(_tested([pair for key, pair in pairs.items() if key not in known]))
    return [
        Difference(*pair, paired_by_seed(*pair), known[key].p, _improvement(*pair), known[key].half_width)
        if key in known
        else next(others)
        for key, pair in pairs.items()
    ]


def _tested(pairs: Sequence[tuple[Row, Row]]) -> list[Difference]:
    """The differences of some pairs, which are one family for Holm's correction."""
    paired = [paired_by_seed(row, other) for row, other in pairs]
    tested = [difference.p if difference.n >= MIN_RESULT else None for difference in paired]
    widths = holm_half_widths(paired, tested)
    return [
        Difference(row, other, difference, p, _improvement(row, other), width)
        for (row, other), difference, p, width in zip(pairs, paired, holm(tested), widths, strict=True)
    ]


def _by_seed(row: Row) -> dict[int, float]:
    return {r.seed: r.metrics.scores.linear_top1 for r in row.measured if r.metrics is not None}


def _improvement(row: Row, other: Row) -> float | None:
    return probability_of_improvement(list(_by_seed(row).values()), list(_by_seed(other).values()))


def paired_by_seed(row: Row, reference: Row) -> PairedDifference:
    """Row - reference in linear top-1, over the seeds that both were measured on."""
    own, other = _by_seed(row), _by_seed(reference)
    seeds = [seed for seed in own if seed in other]
    return paired_difference([own[seed] for seed in seeds], [other[seed] for seed in seeds])


def targets_of(row: Row) -> list[float]:
    """The target accuracies that the experiment declares (rule 21), in percent."""
    declared = [record.config.get("targets") for record in row.records]
    return sorted({float(t) for targets in declared if isinstance(targets, (list, tuple)) for t in targets})


def median_time_to(row: Row, target: float) -> float | None:
    """The median training time in seconds to the first evaluation point that reaches a target on the validation split.

    A run that missed the target or failed counts as infinite (rule 18). None if a measured run has no validation
    scores, like records of the first version.
    """
    times = [_time_to(record, target) for record in row.records]
    known = [time for time in times if time is not None]
    return statistics.median(known) if len(known) == len(times) else None


def _time_to(record: Record, target: float) -> float | None:
    if record.metrics is None or record.ledger is None:
        return math.inf
    if not record.metrics.validation:
        return None
    times = {point.progress: point.training_time for point in record.ledger.evaluation_points}
    reached = [times[p.progress] for p in record.metrics.validation if p.progress in times and p.linear_top1 >= target]
    return min(reached, default=math.inf)


@dataclass(frozen=True)
class Rank:
    """A row's place among the rows that may be ranked: 1 + the number of rows with a better rank."""

    place: int
    tie: bool

    @property
    def text(self) -> str:
        """`2`, or `tie 2` where it is shared."""
        return f"tie {self.place}" if self.tie else str(self.place)


def ranks(comparison: Comparison) -> dict[int, Rank]:
    """The ranks of the rows that may be ranked, by `id` of the row.

    Rows are in order of falling mean linear top-1. Two neighbours get different ranks only if every ranked row above
    the line between them differs significantly from every one below it: by the paired test, Holm-corrected over all
    pairs of ranked rows. So rows of different ranks always differ, while of three rows that share a rank the first and
    the last may differ, too, because "not significantly different" is not transitive. Pairs that cannot be tested
    (fewer than three common seeds, or no spread) count as not different.
    """
    rows = [row for row in comparison.rows if row.may_be_ranked]
    apart = {(id(pair.row), id(pair.reference)) for pair in all_pairs(rows) if pair.verdict == "higher"}
    n = len(rows)
    lines = [k for k in range(1, n) if all((id(row), id(o)) in apart for row in rows[:k] for o in rows[k:])]
    return {
        id(row): Rank(start + 1, tie=end - start > 1)
        for start, end in itertools.pairwise([0, *lines, n])
        for row in rows[start:end]
    }
