"""The effect of each parameter of a sweep, with intervals, tests and the differences that could have been detected.

Scores are linear top-1 on the validation split, in percent. Two values of a parameter are compared seed by seed, over
those settings of the other parameters that were tried with both. Where the experiment's own value of a parameter is
among those tried, the others are compared with it, else all pairs are; the p-values of a parameter's comparisons are
Holm-corrected.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparability import grouped
from benchmark.analysis.comparison import MIN_RESULT
from benchmark.analysis.power import smallest_difference
from benchmark.analysis.statistics import (
    ALPHA,
    PairedDifference,
    Summary,
    holm,
    paired_difference,
    simultaneous_half_width,
    summarise,
)
from benchmark.records.study import EntryStudy, TrialOutcome, value_key

if TYPE_CHECKING:
    from collections.abc import Sequence

_MANY = 12  # values, above which a parameter is shown as a cloud of points rather than value by value


@dataclass(frozen=True)
class Level:
    """One value of a parameter: the scores of every run, in order of the trials, and a summary over seeds.

    In the summary, each seed is the mean of its runs.
    """

    value: Any
    scores: tuple[float, ...]
    knn: tuple[float, ...]
    summary: Summary

    @property
    def text(self) -> str:
        """The value as text, for tables and figures."""
        return value_key(self.value)


@dataclass(frozen=True)
class Pair:
    """One value against another: `first - second`, paired by seed, in points of linear top-1.

    Attributes:
        p: corrected over the parameter's comparisons; None for too few common seeds, or without spread to test by.
        comparisons: how many comparisons of the parameter are tested, and corrected for.
    """

    first: Level
    second: Level
    paired: PairedDifference
    p: float | None
    comparisons: int

    @property
    def differs(self) -> bool:
        """Whether the two are significantly different."""
        return self.p is not None and self.p < ALPHA

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of the difference; those of a parameter's comparisons hold together with 95% confidence."""
        mean = self.paired.mean
        if self.p is None or mean is None:
            return None
        width = simultaneous_half_width(self.paired, self.comparisons)
        return None if width is None else (mean - width, mean + width)

    @property
    def bound(self) -> float | None:
        """The largest difference inside the interval, in either direction."""
        return None if self.interval is None else max(map(abs, self.interval))

    @property
    def detectable(self) -> float | None:
        """The smallest difference that as many seeds detect with a power of 80%, with the spread that was seen."""
        if self.interval is None or self.paired.sd is None:
            return None
        return smallest_difference(self.paired.sd, self.paired.n, self.comparisons)

    def seen_from(self, level: Level) -> Pair:
        """The pair with that level first."""
        if level is self.first:
            return self
        turned = replace(self.paired, mean=None if self.paired.mean is None else -self.paired.mean)
        return replace(self, first=self.second, second=self.first, paired=turned)


@dataclass(frozen=True)
class Effect:
    """The effect of one parameter of one entry.

    Attributes:
        levels: by value where those are numbers, else in the order of the file.
        pairs: every other level against the reference; without a reference, all pairs.
        chosen: whether the sweep's file lists the values, as opposed to a range to draw from.
        reference: the level of the experiment's own value; None where that was not tried or is not known.
    """

    name: str
    levels: tuple[Level, ...]
    pairs: tuple[Pair, ...]
    chosen: bool = False
    reference: Level | None = None

    @property
    def tested(self) -> tuple[Pair, ...]:
        """The pairs with a test."""
        return tuple(pair for pair in self.pairs if pair.p is not None)

    @property
    def listed(self) -> bool:
        """Whether values are compared one by one: few of them, chosen or run more than once."""
        repeated = any(len(level.scores) > 1 for level in self.levels)
        return 1 < len(self.levels) <= _MANY and (repeated or self.chosen)

    @property
    def compared(self) -> tuple[Pair, ...]:
        """The pairs that tables show: values that are compared one by one and share at least two seeds."""
        return tuple(pair for pair in self.pairs if self.listed and pair.paired.n > 1)

    @property
    def edge(self) -> str:
        """`largest` or `smallest` where that number is the best of at least three: better ones may lie beyond."""
        if len(self.levels) < 3 or not self.numeric:
            return ""
        best = max(self.levels, key=lambda level: level.summary.mean or 0.0)
        return "largest" if best is self.levels[-1] else "smallest" if best is self.levels[0] else ""

    @property
    def numeric(self) -> bool:
        """Whether the values lie on an axis."""
        return all(is_number(level.value) for level in self.levels)


def is_number(value: Any) -> bool:
    """Whether a value is one, as opposed to a name, a switch or a list."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def complete_trials(study: EntryStudy) -> list[TrialOutcome]:
    """The trials all of whose runs have a score."""
    return [trial for trial in study.trials if trial.state == "complete"]


def effects(study: EntryStudy) -> list[Effect]:
    """Each parameter's effect, in the order of the file."""
    return [_effect(study, name) for name in study.parameters]


def _effect(study: EntryStudy, name: str) -> Effect:
    trials = [trial for trial in complete_trials(study) if name in trial.parameters]
    groups = grouped(trials, lambda trial: value_key(trial.parameters[name]))
    order = [value_key(value) for value in study.parameters[name].values or ()]
    texts = sorted(groups, key=lambda text: order.index(text) if text in order else len(order))
    levels = [_level(groups[text], name) for text in texts]
    if all(is_number(level.value) for level in levels):
        levels.sort(key=lambda level: float(level.value))
    reference = next((level for level in levels if level.text == study.parameters[name].reference), None)
    chosen = study.parameters[name].values is not None
    return Effect(name, tuple(levels), tuple(_pairs(levels, reference, groups, name)), chosen, reference)


def _level(trials: Sequence[TrialOutcome], name: str) -> Level:
    runs = [run for trial in trials for run in trial.runs]
    scores = [(run.seed, run.linear_top1) for run in runs if run.linear_top1 is not None]
    seeds = grouped(scores, lambda pair: pair[0]).values()
    return Level(
        trials[0].parameters[name],
        tuple(score for _, score in scores),
        tuple(run.knn20 for run in runs if run.knn20 is not None),
        summarise([sum(score for _, score in pairs) / len(pairs) for pairs in seeds]),
    )


def _pairs(
    levels: Sequence[Level], reference: Level | None, groups: dict[str, list[TrialOutcome]], name: str
) -> list[Pair]:
    compared = list(itertools.combinations(levels, 2))
    if reference is not None:
        compared = [(level, reference) for level in levels if level is not reference]
    if len(levels) > _MANY:
        compared = []
    paired = [_paired(groups[first.text], groups[second.text], name) for first, second in compared]
    corrected = holm([difference.p if difference.n >= MIN_RESULT else None for difference in paired])
    tested = sum(p is not None for p in corrected)
    return [
        Pair(*levels, difference, p, tested) for levels, difference, p in zip(compared, paired, corrected, strict=True)
    ]


def _paired(first: Sequence[TrialOutcome], second: Sequence[TrialOutcome], name: str) -> PairedDifference:
    """The difference seed by seed, each the mean over what both were tried with."""
    own, other = _by_context(first, name), _by_context(second, name)
    seeds: dict[int, list[tuple[float, float]]] = {}
    for context in own.keys() & other.keys():
        for seed in own[context].keys() & other[context].keys():
            seeds.setdefault(seed, []).append((own[context][seed], other[context][seed]))
    sides = [[sum(pair[i] for pair in seeds[seed]) / len(seeds[seed]) for seed in sorted(seeds)] for i in (0, 1)]
    return paired_difference(*sides)


def _by_context(trials: Sequence[TrialOutcome], name: str) -> dict[tuple[tuple[str, str], ...], dict[int, float]]:
    """Scores by the other parameters' values and by seed."""
    by_context: dict[tuple[tuple[str, str], ...], dict[int, float]] = {}
    for trial in trials:
        context = tuple(sorted((key, value_key(v)) for key, v in trial.parameters.items() if key != name))
        scores = by_context.setdefault(context, {})
        scores.update({run.seed: run.linear_top1 for run in trial.runs if run.linear_top1 is not None})
    return by_context


def mean_by_pair(study: EntryStudy, first: str, second: str) -> dict[tuple[str, str], float]:
    """The mean score of all runs at each combination of two parameters' values (as texts)."""
    cells: dict[tuple[str, str], list[float]] = {}
    for trial in complete_trials(study):
        if first in trial.parameters and second in trial.parameters:
            place = (value_key(trial.parameters[first]), value_key(trial.parameters[second]))
            cells.setdefault(place, []).extend(run.linear_top1 for run in trial.runs if run.linear_top1 is not None)
    return {place: sum(scores) / len(scores) for place, scores in cells.items() if scores}
