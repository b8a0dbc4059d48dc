"""Statistics over seeds: means, intervals, paired differences, corrections. Accuracies are in percent.

Distributions are those of `scipy.special`. `scipy.stats` takes a second or two to import, and its Wilson interval wants
whole counts, which a mean over seeds has not; the tests compare with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import ndtri, stdtr, stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95
ALPHA = 0.05  # 1 - CONFIDENCE, without its rounding
_ROUNDING = 1e-9  # a spread of this share of the mean is that of binary fractions


@dataclass(frozen=True)
class Summary:
    """Mean and spread of `n` values, in their unit.

    Attributes:
        mean: None without values.
        sd: standard deviation with n - 1 in the denominator; None for fewer than two values.
        ci95: half the width of the 95% interval of the mean (Student t); None for fewer than two values.
    """

    n: int
    mean: float | None
    sd: float | None
    ci95: float | None


def summarise(values: Sequence[float | None]) -> Summary:
    """Mean, standard deviation and interval of what was measured; None values are left out."""
    known = [value for value in values if value is not None]
    n = len(known)
    if n == 0:
        return Summary(0, None, None, None)
    mean = math.fsum(known) / n
    if n == 1:
        return Summary(1, mean, None, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (n - 1))
    return Summary(n, mean, sd, float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * sd / math.sqrt(n))


@dataclass(frozen=True)
class PairedDifference(Summary):
    """How much higher one entry's values are than another's, seed by seed; without spread, there is no interval.

    `p` is that of the two-sided paired t-test; None where there is nothing to test by.
    """

    p: float | None


def paired_difference(first: Sequence[float], second: Sequence[float]) -> PairedDifference:
    """The paired t-test of `first - second`.

    Pairing by seed takes out what both share: initial weights, order, the images that were easy to reach (Bouthillier
    et al. 2021, section 4). Differences that are all equal have no spread to test by: there is no interval, and p is 1
    where they are zero, else None; seeds that happen to agree to the last digit prove nothing. Both lists are of the
    same seeds in the same order.

    Raises:
        ValueError: unequal numbers of values.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values cannot be paired")
    summary = summarise([a - b for a, b in zip(first, second, strict=True)])
    n, mean, sd = summary.n, summary.mean, summary.sd
    if mean is None or sd is None:
        return PairedDifference(n, mean, sd, None, None)
    if sd <= _ROUNDING * max(1.0, abs(mean)):
        return PairedDifference(n, mean, sd, None, None if mean else 1.0)
    p = min(1.0, 2.0 * float(stdtr(n - 1, -abs(mean / (sd / math.sqrt(n))))))
    return PairedDifference(n, mean, sd, summary.ci95, p)


def simultaneous_half_width(summary: Summary, comparisons: int) -> float | None:
    """Half the width of one of several intervals that hold together with a confidence of 95%.

    Each has the level 1 - 0.05 / comparisons (Bonferroni's inequality; Dunn 1961). Holm's test, which rejects more
    often, has no intervals of this simplicity: its p may be below 0.05 where the interval includes 0. None where the
    summary has no interval of its own.

    Raises:
        ValueError: comparisons is below 1.
    """
    if comparisons < 1:
        raise ValueError(f"comparisons is {comparisons}; expected at least 1")
    if summary.ci95 is None or summary.sd is None:
        return None
    quantile = float(stdtrit(summary.n - 1, 1 - (1 - CONFIDENCE) / (2 * comparisons)))
    return quantile * summary.sd / math.sqrt(summary.n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction of a family of tests (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1, capped at 1, and never less than a smaller one's. None stands for
    a comparison that was not tested; it stays None and is no member of the family.

    Raises:
        ValueError: a value outside 0 to 1.
    """
    family = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(family):
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p is {p}; expected 0 to 1")
        largest = max(largest, min(1.0, (len(family) - rank) * p))
        adjusted[index] = largest
    return adjusted


def holm_half_widths(summaries: Sequence[Summary], p_values: Sequence[float | None]) -> list[float | None]:
    """Half the widths of the intervals that belong to Holm's test: each includes zero exactly where it does not reject.

    The k-th step of m tests at the level 0.05 / (m - k + 1), and the first that does not reject is the last. A
    difference has the confidence of the step that rejected it or, if none did, of that last step. One that was not
    tested keeps its own 95% interval; of `p_values`, None stands for those, as in `holm`.
    """
    adjusted = holm(p_values)
    family = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    steps = {index: rank for rank, (_, index) in enumerate(family)}
    last = sum(p is not None and p < ALPHA for p in adjusted)
    return [
        simultaneous_half_width(summary, 1 if p is None else len(family) - min(steps[index], last))
        for index, (summary, p) in enumerate(zip(summaries, adjusted, strict=True))
    ]


def probability_of_improvement(first: Sequence[float], second: Sequence[float]) -> float | None:
    """How often a run of the first beats a run of the second, over all pairs; ties count half (rliable, 2108.13264).

    0.5 says nothing either way; None without values on both sides.
    """
    if not first or not second:
        return None
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in first for b in second)
    return wins / (len(first) * len(second))


def sampling_half_width(accuracy: float, images: int) -> float:
    """The sampling error of a test split in percentage points: what another draw of as many images could change.

    Half the width of Wilson's 95% score interval. Away from 0 and 100% it is 1.96 sqrt(p (1 - p) / images) to within
    a few per cent; at 0 and 100% it does not become zero, as that formula would.

    Raises:
        ValueError: an accuracy outside 0 to 100, or no images.
    """
    if not 0.0 <= accuracy <= 100.0:
        raise ValueError(f"accuracy is {accuracy}; expected percent, 0 to 100")
    if images < 1:
        raise ValueError(f"images is {images}; a test split has at least 1")
    z = float(ndtri(0.5 + CONFIDENCE / 2))
    p = accuracy / 100.0
    spread = math.sqrt(p * (1 - p) / images + z * z / (4 * images * images))
    return 100.0 * z * spread / (1 + z * z / images)
