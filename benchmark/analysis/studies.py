"""The effect of each parameter of a sweep, with intervals and tests, and a sentence that the trials support.

Scores are linear top-1 on the validation split, in percent. Two values of a parameter are compared seed by seed, over
those settings of the other parameters that were tried with both; the p-values of all pairs are Holm-corrected.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparability import grouped
from benchmark.analysis.comparison import MIN_RESULT
from benchmark.analysis.differences import ALPHA
from benchmark.analysis.statistics import PairedDifference, Summary, holm, paired_difference, summarise
from benchmark.records.study import EntryStudy, TrialOutcome, value_text
from benchmark.text import listing, with_interval

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
        return value_text(self.value)


@dataclass(frozen=True)
class Pair:
    """One value against another: `first - second`, paired; `p` corrected over all pairs, None for too few pairs."""

    first: Level
    second: Level
    paired: PairedDifference
    p: float | None

    @property
    def differs(self) -> bool:
        """Whether the two are significantly different."""
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True)
class Effect:
    """The effect of one parameter of one entry.

    Attributes:
        levels: by value where those are numbers, else in the order of the file.
        chosen: whether the sweep's file lists the values, as opposed to a range to draw from.
    """

    name: str
    levels: tuple[Level, ...]
    pairs: tuple[Pair, ...]
    chosen: bool = False

    @property
    def listed(self) -> bool:
        """Whether values are compared one by one: few of them, chosen or run more than once."""
        repeated = any(len(level.scores) > 1 for level in self.levels)
        return 1 < len(self.levels) <= _MANY and (repeated or self.chosen)

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
    groups = grouped(trials, lambda trial: value_text(trial.parameters[name]))
    order = [value_text(value) for value in study.parameters[name].values or ()]
    texts = sorted(groups, key=lambda text: order.index(text) if text in order else len(order))
    levels = [_level(groups[text], name) for text in texts]
    if all(is_number(level.value) for level in levels):
        levels.sort(key=lambda level: float(level.value))
    return Effect(name, tuple(levels), tuple(_pairs(levels, groups, name)), study.parameters[name].values is not None)


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


def _pairs(levels: Sequence[Level], groups: dict[str, list[TrialOutcome]], name: str) -> list[Pair]:
    compared = list(itertools.combinations(levels, 2)) if len(levels) <= _MANY else []
    paired = [_paired(groups[first.text], groups[second.text], name) for first, second in compared]
    corrected = holm([difference.p if difference.n >= MIN_RESULT else None for difference in paired])
    return [Pair(*levels, difference, p) for levels, difference, p in zip(compared, paired, corrected, strict=True)]


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
        context = tuple(sorted((key, value_text(v)) for key, v in trial.parameters.items() if key != name))
        scores = by_context.setdefault(context, {})
        scores.update({run.seed: run.linear_top1 for run in trial.runs if run.linear_top1 is not None})
    return by_context


def sentence(effect: Effect) -> str:
    """One sentence about a parameter that its trials support."""
    levels = [level for level in effect.levels if level.summary.mean is not None]
    if len(levels) < 2:
        return f"{effect.name}: fewer than two values have a result, so they cannot be compared."
    best = max(levels, key=lambda level: level.summary.mean or 0.0)
    if not effect.listed:
        return (
            f"{effect.name}: {len(levels)} values, too many or too rarely run to compare them one by one; the best "
            f"trial had {best.text} ({_percent(best)})."
        )
    tested = [pair for pair in effect.pairs if pair.p is not None]
    if not tested:
        edge = f", the {effect.edge} value that was tried" if effect.edge else ""
        return (
            f"{effect.name}: {best.text} has the highest mean ({_percent(best)}{edge}), but no two values share "
            f"{MIN_RESULT} seeds with all else equal, too few for a test."
        )
    if not any(pair.differs for pair in tested):
        size = _points(max(tested, key=lambda pair: abs(pair.paired.mean or 0.0)))
        least = min(pair.p or 0.0 for pair in tested)
        values = listing([level.text for level in levels])
        return (
            f"{effect.name}: no significant difference between {values} (largest {size}, smallest corrected p "
            f"{least:.2f})."
        )
    return _significant(effect, best, tested)


def _significant(effect: Effect, best: Level, tested: Sequence[Pair]) -> str:
    # Each other value with its pair.
    own = [
        (pair.second if pair.first is best else pair.first, pair)
        for pair in tested
        if best in (pair.first, pair.second)
    ]
    below = [f"{other.text} by {_points(pair)}" for other, pair in own if pair.differs]
    near = [other.text for other, pair in own if not pair.differs]
    parts = [f"{effect.name}: {best.text} has the highest mean ({_percent(best)})"]
    parts += [f"above {listing(below)}"] if below else []
    parts += [f"not significantly different from {listing(near)}"] if near else []
    if not below:
        apart = [(pair.first.text, pair.second.text, pair.paired.mean or 0.0) for pair in tested if pair.differs]
        elsewhere = listing(f"{a} above {b}" if mean > 0 else f"{b} above {a}" for a, b, mean in apart)
        parts.append(f"significant: {elsewhere}")
    return "; ".join(parts) + f" (paired by seed, corrected for {len(tested)} comparisons)."


def _points(pair: Pair) -> str:
    return f"{with_interval(abs(pair.paired.mean or 0.0), pair.paired.ci95)} points"


def _percent(level: Level) -> str:
    return f"{with_interval(level.summary.mean, level.summary.ci95)}%"


def mean_by_pair(study: EntryStudy, first: str, second: str) -> dict[tuple[str, str], float]:
    """The mean score of all runs at each combination of two parameters' values (as texts)."""
    cells: dict[tuple[str, str], list[float]] = {}
    for trial in complete_trials(study):
        if first in trial.parameters and second in trial.parameters:
            place = (value_text(trial.parameters[first]), value_text(trial.parameters[second]))
            cells.setdefault(place, []).extend(run.linear_top1 for run in trial.runs if run.linear_top1 is not None)
    return {place: sum(scores) / len(scores) for place, scores in cells.items() if scores}
