"""Accuracy at a longer budget than any measured one: a saturating power law with intervals; pure functions on numbers.

The law is accuracy(x) = a - b x^-c, b and c > 0, a <= 100; x is the budget in its own unit. It is one of the curves
by which Domhan et al. (IJCAI 2015, `pow3`) extrapolate the training of networks; Mohr and van Rijn (2201.12150) survey
its use. With three rungs it nearly interpolates, so that residuals say nothing about the exponent. Each draw of the
intervals therefore fits the law anew, by penalised least squares, with everything uncertain drawn at once ("randomise,
then optimise", Bardsley et al. 2014):

- runs: the seeds' residuals are resampled (Davison and Hinkley 1997, chapter 6);
- the law: a real curve deviates from it, by `MISFIT` of the measured gain or as much as its residuals show;
- the exponent: the penalty's centre is drawn from a prior, log c ~ N(log 0.5, 1). The asymptote has a flat one up to
  100.

Arrays carry their axes as a suffix: D draws, R rungs, C values of c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MIN_RUNGS = 3  # the law has three parameters
LEVEL = 0.9  # of all intervals here
DRAWS = 1000
MISFIT = 0.05  # expected deviation of a curve from the law, as a share of what it gained over its rungs
_MISFIT_WEIGHT = 3  # how many residuals that expectation is worth
_PRIOR = (math.log(0.5), 1.0)  # of log c: mean and standard deviation
_EXPONENTS = np.geomspace(0.01, 10.0, 400)  # the values of c that are tried
_GRID = 200  # budgets at which two laws are compared in search of a crossing


class Interval(NamedTuple):
    """The median and the 90% interval of some draws."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Rung:
    """One budget, and the linear top-1 in percent of each seed that was trained under it."""

    budget: float
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return math.fsum(self.values) / len(self.values)


@dataclass(frozen=True)
class Curve:
    """The rungs of one entry, by rising budget.

    `noise` is the standard deviation of a single run in points, used where no rung has two seeds to tell it.
    """

    entry: str
    rungs: tuple[Rung, ...]
    noise: float = 0.0

    @cached_property
    def residuals(self) -> Array:
        """Each seed's deviation from its rung's mean, of rungs with several, enlarged by what the mean took out."""
        several = [rung for rung in self.rungs if len(rung.values) > 1]
        parts = [
            (np.array(rung.values) - rung.mean) * math.sqrt(len(rung.values) / (len(rung.values) - 1))
            for rung in several
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    @property
    def run_sd(self) -> float:
        """The standard deviation of a single run: between seeds, or `noise` where no rung has several."""
        return float(np.sqrt(np.mean(self.residuals**2))) if self.residuals.size else self.noise

    @property
    def longest(self) -> Rung:
        """The rung of the largest budget."""
        return self.rungs[-1]


@dataclass(frozen=True)
class Law:
    """accuracy(x) = a - gap (x / start)^-c in percent; `gap` is a less the accuracy at `start`, the shortest rung."""

    a: float
    gap: float
    c: float
    start: float

    @property
    def b(self) -> float:
        """The law's b, which holds for budgets in their own unit."""
        return self.gap * math.pow(self.start, self.c)

    def __call__(self, budget: float) -> float:
        """The accuracy at a budget."""
        return self.a - self.gap * math.pow(budget / self.start, -self.c)


@dataclass(frozen=True, eq=False)
class Fit:
    """A curve with its law, fitted to all seeds, and the laws of `DRAWS` draws.

    Attributes:
        laws: `(draws, 3)`, of each draw a, gap and c as in `Law`.
        misfit: standard deviation in points by which a rung deviates from the law, apart from the spread of runs.
        deviations: `(draws,)`, standard normal: where in that deviation a draw puts the longer budget.
    """

    curve: Curve
    law: Law
    laws: Array
    misfit: float
    deviations: Array

    def curves(self, budgets: Sequence[float] | Array) -> Array:
        """The draws' laws at some budgets: `(draws, budgets)`."""
        a, gap, c = (self.laws[:, [column]] for column in range(3))
        steps: Array = np.asarray(budgets, dtype=np.float64) / self.law.start
        values: Array = a - gap * steps**-c
        return values

    def measured(self, budgets: Sequence[float] | Array, seeds: int | None = None) -> Array:
        """What would be measured as the mean over some seeds, by draw: `(draws, budgets)`.

        The law, a rung's deviation from it and the spread of runs, in percent. `seeds` defaults to those of the longest
        rung.
        """
        count = len(self.curve.longest.values) if seeds is None else seeds
        sd = math.hypot(self.misfit, self.curve.run_sd / math.sqrt(count))
        values: Array = np.clip(self.curves(budgets) + sd * self.deviations[:, None], 0.0, 100.0)
        return values


def fit(curve: Curve, draws: int = DRAWS) -> Fit:
    """Fits the law to a curve, and to `draws` curves that could as well have been measured.

    The draws depend on the curve's name alone, so that a repeated prediction is the same.

    Raises:
        ValueError: fewer rungs than the law has parameters.
    """
    if len(curve.rungs) < MIN_RUNGS:
        raise ValueError(f"{curve.entry} has {len(curve.rungs)} rungs; a prediction needs at least {MIN_RUNGS}")
    start = curve.rungs[0].budget
    means_R = np.array([rung.mean for rung in curve.rungs])
    counts_R = np.array([len(rung.values) for rung in curve.rungs])
    steps_R = np.array([rung.budget / start for rung in curve.rungs])
    expected = MISFIT * float(np.ptp(means_R))
    (best,) = _least_squares(steps_R, means_R[None], _errors(curve, counts_R, expected), np.array([_PRIOR[0]]))
    law = Law(float(best[0]), float(best[1]), float(best[2]), start)
    missed = float(np.sum((means_R - [law(rung.budget) for rung in curve.rungs]) ** 2))
    misfit = math.sqrt((_MISFIT_WEIGHT * expected**2 + missed) / len(means_R))
    generator = np.random.default_rng(list(curve.entry.encode()))
    noise_DR = np.stack([_run_noise(curve, int(count), draws, generator) for count in counts_R], axis=1)
    drawn_DR = means_R + noise_DR + misfit * generator.standard_normal((draws, len(means_R)))
    laws = _least_squares(steps_R, drawn_DR, _errors(curve, counts_R, misfit), generator.normal(*_PRIOR, draws))
    return Fit(curve, law, laws, misfit, generator.standard_normal(draws))


def _errors(curve: Curve, counts_R: NDArray[np.int64], misfit: float) -> Array:
    """By how much each rung's mean may be off the law; a curve without spread and gain weighs all rungs alike."""
    errors_R: Array = np.sqrt(curve.run_sd**2 / counts_R + misfit**2).clip(1e-3)
    return errors_R


def _run_noise(curve: Curve, count: int, draws: int, generator: np.random.Generator) -> Array:
    """How far the mean over `count` seeds is off, by draw: resampled residuals, or normal where there are none."""
    if curve.residuals.size:
        noise_D: Array = generator.choice(curve.residuals, (draws, count)).mean(axis=1)
        return noise_D
    return generator.normal(0.0, curve.noise / math.sqrt(count), draws)


def _least_squares(steps_R: Array, means_DR: Array, errors_R: Array, centres_D: Array) -> Array:
    """a, gap and c for each row of means, by least squares with the law's bounds and a penalty on log c.

    Given c, the law is linear in a and gap, so that all rows are solved at once over a grid of c (variable projection,
    Golub and Pereyra 1973). A test compares with `scipy.optimize.least_squares`, which takes a thousand times as long.

    Args:
        steps_R: budgets relative to the shortest.
        means_DR: in percent.
        errors_R: standard deviations of the means from the law.
        centres_D: where the penalty on log c is zero.
    """
    weights_R = errors_R**-2 / np.sum(errors_R**-2)
    basis_RC = steps_R[:, None] ** -_EXPONENTS
    centred_RC = basis_RC - weights_R @ basis_RC
    slopes_DC = (weights_R * means_DR) @ centred_RC / (weights_R @ centred_RC**2)
    gaps_DC = np.maximum(-slopes_DC, 0.0)
    tops_DC = (means_DR @ weights_R)[:, None] + gaps_DC * (weights_R @ basis_RC)
    # Where the asymptote would be above 100%, it is 100% and the gap alone is fitted.
    capped_DC = np.maximum((weights_R * (100.0 - means_DR)) @ basis_RC / (weights_R @ basis_RC**2), 0.0)
    gaps_DC = np.where(tops_DC > 100.0, capped_DC, gaps_DC)
    tops_DC = np.minimum(tops_DC, 100.0)
    missed_DRC = tops_DC[:, None] - gaps_DC[:, None] * basis_RC - means_DR[:, :, None]
    penalty_DC = ((np.log(_EXPONENTS) - centres_D[:, None]) / _PRIOR[1]) ** 2
    losses_DC = np.sum((missed_DRC / errors_R[:, None]) ** 2, axis=1) + penalty_DC
    rows, best_D = np.arange(len(means_DR)), losses_DC.argmin(axis=1)
    return np.stack([tops_DC[rows, best_D], gaps_DC[rows, best_D], _EXPONENTS[best_D]], axis=1)


def interval(values: Array) -> Interval:
    """The median and the 90% interval of some draws."""
    low, median, high = np.quantile(values, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    return Interval(float(low), float(median), float(high))


@dataclass(frozen=True)
class Crossing:
    """Where two curves cross last within a range of budgets.

    Attributes:
        share: of the draws that cross in the range.
        budget: over those draws; None where fewer than half of all cross.
    """

    share: float
    budget: Interval | None


def crossing(first: Fit, second: Fit, shortest: float, longest: float) -> Crossing:
    """Where the laws of two entries cross last between two budgets, draw by draw."""
    logs = np.linspace(math.log(shortest), math.log(longest), _GRID)
    ahead = first.curves(np.exp(logs)) - second.curves(np.exp(logs))
    change = ahead[:, :-1] * ahead[:, 1:] < 0
    crossed = np.flatnonzero(change.any(axis=1))
    share = len(crossed) / len(change)
    if share < 0.5:
        return Crossing(share, None)
    last = change.shape[1] - 1 - np.argmax(change[crossed, ::-1], axis=1)
    before, after = ahead[crossed, last], ahead[crossed, last + 1]
    place = logs[last] + (logs[1] - logs[0]) * before / (before - after)
    return Crossing(share, interval(np.exp(place)))


def probability_higher(first: Array, second: Array) -> float:
    """How often the first of two entries is the higher one, over their draws."""
    return float(np.mean(first > second))
