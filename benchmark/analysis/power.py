"""Power of the paired t-test: the smallest difference that some seeds can detect, and the seeds that one needs.

Let the paired differences of n seeds have the standard deviation s. Where the true mean difference is d, the statistic
of the t-test has a noncentral t distribution with n - 1 degrees of freedom and noncentrality d sqrt(n) / s, and the
power is the probability that it exceeds the critical value (Cohen 1988, Statistical Power Analysis for the Behavioral
Sciences, section 2.3.5; computed exactly instead of from his tables, as by Faul et al. 2007). A significant difference
of the wrong sign, next to impossible at such powers, does not count.

Holm's correction has no power in one formula, because a comparison's level depends on the other p-values. Its first
step tests at alpha / m in a family of m comparisons, which is Bonferroni's level and the strictest of all its steps
(Holm 1979), so that the real power is at least the one computed here. Distributions are those of `scipy.special`, as in
`benchmark.analysis.statistics`.
"""

from __future__ import annotations

import math

from scipy.special import chdtri, nctdtrinc, ndtri, stdtrit

from benchmark.analysis.statistics import ALPHA

POWER = 0.8
"""The probability with which a difference is to be detected: the convention of Cohen 1988, section 2.4."""

_MOST_SEEDS = 10_000


def smallest_difference(
    spread: float, seeds: int, comparisons: int = 1, *, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The smallest true mean difference that a two-sided paired t-test detects with a given power.

    Args:
        spread: standard deviation of the paired differences; the result has its unit.
        seeds: the number of pairs.
        comparisons: size of the family of tests; each is tested at alpha / comparisons.

    Returns:
        0 without spread; infinity for fewer than two seeds, which cannot be tested, or an infinite spread.

    Raises:
        ValueError: the spread is negative or not a number, comparisons is below 1, or alpha or the power is not
            between 0 and 1.
    """
    _check(spread, comparisons, alpha, power)
    if seeds < 2 or math.isinf(spread):
        return math.inf
    critical = stdtrit(seeds - 1, 1 - alpha / comparisons / 2)
    return float(nctdtrinc(seeds - 1, 1 - power, critical)) * spread / math.sqrt(seeds)


def seeds_needed(
    difference: float, spread: float, comparisons: int = 1, *, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """The smallest number of seeds with which a two-sided paired t-test detects a true mean difference.

    Args:
        difference: to be detected, in the unit of the spread.
        spread: standard deviation of the paired differences.
        comparisons: size of the family of tests; each is tested at alpha / comparisons.

    Returns:
        At least 2; None if more than 10,000 would be needed, or the spread is infinite.

    Raises:
        ValueError: the difference is not above 0, or as for `smallest_difference`.
    """
    _check(spread, comparisons, alpha, power)
    if not difference > 0:
        raise ValueError(f"difference is {difference}; expected more than 0")
    # With a known spread (the z-test) fewer seeds would do, so the search starts there.
    z = float(ndtri(1 - alpha / comparisons / 2) + ndtri(power))
    fewest = (z * spread / difference) ** 2
    if fewest > _MOST_SEEDS:
        return None
    start = max(2, math.ceil(fewest))
    options = range(start, _MOST_SEEDS + 1)
    return next(
        (n for n in options if smallest_difference(spread, n, comparisons, alpha=alpha, power=power) <= difference),
        None,
    )


def upper_spread(spread: float, seeds: int, confidence: float = 0.8) -> float:
    """The one-sided upper confidence limit of a standard deviation that was estimated from few seeds.

    A number of seeds that is planned with the estimate itself is too small about half of the time; with this limit it
    is too small in about a fifth of the cases (Browne 1995, On the use of a pilot sample for sample size
    determination). The differences are taken as normal.

    Returns:
        Infinity for fewer than two seeds.
    """
    if seeds < 2:
        return math.inf
    return spread * math.sqrt((seeds - 1) / float(chdtri(seeds - 1, confidence)))


def _check(spread: float, comparisons: int, alpha: float, power: float) -> None:
    if not spread >= 0:
        raise ValueError(f"spread is {spread}; expected a standard deviation, at least 0")
    if comparisons < 1:
        raise ValueError(f"comparisons is {comparisons}; expected at least 1")
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha is {alpha} and the power {power}; expected both between 0 and 1")
