"""What the trials of a sweep support, in words: a finding for each parameter, and for each of its comparisons.

Where a comparison is not significant, its finding says how large the difference may still be. "No difference" alone
would be wrong: a few seeds that vary much show none whatever the truth is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.comparison import MIN_RESULT
from benchmark.analysis.power import POWER
from benchmark.text import p_text, with_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmark.analysis.studies import Effect, Level, Pair

_NAMED = 4  # comparisons without significance that a sentence names one by one

COMPARISONS = (
    "Paired by seed, all else equal. Intervals hold together with 95% confidence (Bonferroni over a parameter's "
    "comparisons), p is that of the paired t-test after Holm's correction over them. Detectable: the smallest "
    f"difference that as many seeds detect with a power of {POWER:.0%} at the level of the correction's first step, "
    "0.05 / comparisons, with the spread that was seen."
)
"""What a table of comparisons shows."""


def points_text(points: float) -> str:
    """Points of accuracy without a sign: one decimal, or two digits where that would read 0.0."""
    return f"{points:.1f}" if points >= 0.05 or points == 0 else f"{points:.2g}"


def comparison_name(pair: Pair) -> str:
    """`6 against 3`."""
    return f"{pair.first.text} against {pair.second.text}"


def difference_text(pair: Pair) -> str:
    """The mean difference with its interval, `+3.1 (0.9 to 5.3)`; empty without a common seed."""
    if pair.paired.mean is None:
        return ""
    mean = f"{pair.paired.mean + 0.0:+.1f}"
    return mean if pair.interval is None else f"{mean} ({pair.interval[0]:.1f} to {pair.interval[1]:.1f})"


def finding(pair: Pair) -> str:
    """The outcome of one comparison: its direction, or how large the difference may still be, or why there is no test.

    Intervals are Bonferroni's and a little wider than Holm's test needs, so that a bound is never too small.
    """
    if pair.p is None:
        return f"fewer than {MIN_RESULT} seeds in common" if pair.paired.n < MIN_RESULT else "no spread, no test"
    if pair.bound is None:
        return "equal on every seed"
    if pair.differs:
        return "higher" if (pair.paired.mean or 0.0) > 0 else "lower"
    return f"not significant: no difference larger than {points_text(pair.bound)}"


def sentence(effect: Effect) -> str:
    """What the trials of a parameter support, in a few sentences."""
    levels = [level for level in effect.levels if level.summary.mean is not None]
    if len(levels) < 2:
        return f"{effect.name}: fewer than two values have a result, so they cannot be compared."
    best = max(levels, key=lambda level: level.summary.mean or 0.0)
    if not effect.listed:
        return (
            f"{effect.name}: {len(levels)} values, too many or too rarely run to compare them one by one; the best "
            f"trial had {best.text} ({_percent(best)})."
        )
    if not effect.tested:
        edge = f", the {effect.edge} value that was tried" if effect.edge else ""
        return (
            f"{effect.name}: {best.text} has the highest mean ({_percent(best)}{edge}), but no two values share "
            f"{MIN_RESULT} seeds with all else equal, too few for a test."
        )
    parts = [f"{effect.name}: {best.text} has the highest mean ({_percent(best)})", *_outcomes(effect, best)]
    return ". ".join([*parts, _resolution(effect)])


def _outcomes(effect: Effect, best: Level) -> list[str]:
    """The significant comparisons, and what is known about the others."""
    own = "" if effect.reference is None else f" ({effect.reference.text} is the experiment's own value)"
    pairs = list(effect.tested)
    if effect.reference is None:
        pairs = [pair.seen_from(best) if best is pair.second else pair for pair in pairs]
    significant = [pair for pair in pairs if pair.differs]
    if effect.reference is None:  # of all pairs, those with the best value say most
        significant = [pair for pair in significant if pair.first is best] or significant
    rest = [pair for pair in pairs if not pair.differs]
    parts = []
    if significant:
        parts.append(f"Significantly different{own}: {'; '.join(map(_tested, significant))}")
    if rest:
        named = "; ".join(map(_tested, rest)) if len(rest) <= _NAMED else f"{len(rest)} comparisons"
        bound = max(pair.bound or 0.0 for pair in rest)
        limit = f"no difference larger than {points_text(bound)} points" if bound else "they are equal on every seed"
        parts.append(f"Not significantly different{'' if significant else own}: {named}, so {limit}")
    return parts


def _tested(pair: Pair) -> str:
    """`6 against 3: -1.9 (-3.0 to -0.7) points, p 0.020`."""
    return f"{comparison_name(pair)}: {difference_text(pair)} points, p {p_text(pair.p or 0.0)}"


def _resolution(effect: Effect) -> str:
    """How small a difference the seeds can detect, for the comparisons together."""
    count = len(effect.tested)
    how = f"paired by seed, corrected for {count} comparison{'s' if count > 1 else ''}"
    sizes = [pair.detectable for pair in effect.tested if pair.detectable is not None]
    if not sizes:
        return f"The test is {how}."
    seeds = _range(f"{pair.paired.n}" for pair in sorted(effect.tested, key=lambda pair: pair.paired.n))
    smallest = _range(map(points_text, sorted(sizes)))
    return f"Smallest detectable difference with {seeds} seeds: {smallest} points (power {POWER:.0%}; {how})."


def _range(texts: Iterable[str]) -> str:
    """The first and the last of some texts, which are in order: `2.1 to 4.4`, or `2.1` where they are equal."""
    ends: Sequence[str] = list(texts)
    return ends[0] if ends[0] == ends[-1] else f"{ends[0]} to {ends[-1]}"


def _percent(level: Level) -> str:
    return f"{with_interval(level.summary.mean, level.summary.ci95)}%"
