"""Accuracy at a longer budget than any measured one: a saturating power law with intervals; pure functions on numbers.

The law is accuracy(x) = a - b x^-c, with b, c > 0 and a <= 100; x is the budget in its own unit. It is one of the curves
by which Domhan et al. (IJCAI 2015, `pow3`) extrapolate the training of networks; Mohr and van Rijn (2201.12150) survey
its use. With three rungs it nearly interpolates, so that residuals say nothing about the exponent. Each draw of the
intervals therefore fits the law anew, by penalised least squares, with everything uncertain drawn at once ("randomise,
then optimise", Bardsley et al. 2014, section 2):

- runs: the seeds' residuals are resampled (Davison and Hinkley 1997, section 6.2.3);
- the law: a real curve deviates from it, by `MISFIT` of the measured gain or as much as its residuals show;
- the exponent: the penalty's centre is drawn from a prior, log c ~ N(log 0.5, 1). The asymptote has a flat one up to
  100.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MIN_RUNGS = 3  # the law has three parameters
LEVEL = 0.9  # of all intervals here
DRAWS = 400
MISFIT = 0.05  # expected deviation of a curve from the law, as a share of what it gained over its rungs
_MISFIT_WEIGHT = 3  # how many residuals that expectation is worth
_PRIOR = (math.log(0.5), 1.0)  # of log c: mean and standard deviation
_EXPONENTS = (0.01, 10.0)
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
    """accuracy(x) = a - gap (x / start)^-c in percent; `gap` is what is left to gain at the shortest rung, `start`."""

    a: float
    gap: float
    c: float
    start: float

    @property
    def b(self) -> float:
        """The law's b, which holds for budgets in their own unit."""
        return self.gap * self.start**self.c

    def __call__(self, budget: float) -> float:
        """The accuracy at a budget."""
        return self.a - self.gap * (budget / self.start) ** -self.c


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
    means = np.array([rung.mean for rung in curve.rungs])
    counts = np.array([len(rung.values) for rung in curve.rungs])
    expected = MISFIT * float(np.ptp(means))
    problem = _Problem(curve, counts, expected)
    best = problem.solve(means, _PRIOR[0])
    residual = float(np.sum((means - problem.values(best)) ** 2))
    misfit = math.sqrt((_MISFIT_WEIGHT * expected**2 + residual) / len(means))
    problem = _Problem(curve, counts, misfit)
    generator = np.random.default_rng(list(curve.entry.encode()))
    noise = [_run_noise(curve, int(count), draws, generator) for count in counts]
    drawn = means + np.stack(noise, axis=1) + misfit * generator.standard_normal((draws, len(means)))
    centres = generator.normal(*_PRIOR, draws)
    laws = np.array([problem.solve(row, centre, best) for row, centre in zip(drawn, centres, strict=True)])
    laws[:, 2] = np.exp(laws[:, 2])
    law = Law(float(best[0]), float(best[1]), math.exp(best[2]), curve.rungs[0].budget)
    return Fit(curve, law, laws, misfit, generator.standard_normal(draws))


def _run_noise(curve: Curve, count: int, draws: int, generator: np.random.Generator) -> Array:
    """How far the mean over `count` seeds is off, by draw: resampled residuals, or normal where there are none."""
    if curve.residuals.size:
        values: Array = generator.choice(curve.residuals, (draws, count)).mean(axis=1)
        return values
    return generator.normal(0.0, curve.noise / math.sqrt(count), draws)


class _Problem:
    """Penalised least squares of a, gap and log c; each rung weighs as its runs and the law's misfit allow."""

    def __init__(self, curve: Curve, counts: NDArray[np.int64], misfit: float) -> None:
        self._logs = np.log([rung.budget / curve.rungs[0].budget for rung in curve.rungs])
        # A curve without gain or spread leaves nothing to weigh by.
        self._errors = np.sqrt(curve.run_sd**2 / counts + misfit**2).clip(1e-3)
        self._bounds = ((0.0, 0.0, math.log(_EXPONENTS[0])), (100.0, 100.0, math.log(_EXPONENTS[1])))

    def values(self, parameters: Array) -> Array:
        """The law at the rungs."""
        a, gap, log_c = parameters
        accuracies: Array = a - gap * np.exp(-math.exp(log_c) * self._logs)
        return accuracies

    def solve(self, means: Array, centre: float, start: Array | None = None) -> Array:
        """a, gap and log c for some means and a centre of the penalty on log c."""

        def residuals(parameters: Array) -> Any:
            return np.append((self.values(parameters) - means) / self._errors, (parameters[2] - centre) / _PRIOR[1])

        def jacobian(parameters: Array) -> Any:
            _, gap, log_c = parameters
            decay = np.exp(-math.exp(log_c) * self._logs)
            rows = np.stack([np.ones_like(decay), -decay, gap * decay * self._logs * math.exp(log_c)], axis=1)
            return np.vstack([rows / self._errors[:, None], [0.0, 0.0, 1.0 / _PRIOR[1]]])

        if start is None:
            top = float(means.max()) + 1.0
            start = np.array([top, top - float(means[0]), centre])
        low, high = map(np.array, self._bounds)
        inside = np.clip(start, low + 1e-3, high - 1e-3)
        solution: Array = least_squares(
            residuals, inside, jacobian, bounds=(low, high), x_scale=(10.0, 10.0, 1.0), xtol=1e-4, ftol=1e-4
        ).x
        return solution


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
