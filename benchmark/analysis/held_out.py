"""The check of a prediction on records: the longest rungs are left out and predicted from the shorter ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmark.analysis.prediction import LEVEL, MIN_RUNGS, Curve, Interval, fit, interval, probability_higher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.prediction import Array


@dataclass(frozen=True)
class Check:
    """One rung that was left out: what the shorter ones predict, and what was measured (mean over seeds)."""

    entry: str
    budget: float
    predicted: Interval
    measured: float

    @property
    def inside(self) -> bool:
        """Whether the measured accuracy is in the 90% interval."""
        return self.predicted.low <= self.measured <= self.predicted.high


@dataclass(frozen=True)
class Order:
    """Two entries at a rung that was left out; the first is the one that was predicted to be higher.

    Attributes:
        probability: that the first is higher, as predicted.
        difference: first - second as measured, in points.
    """

    first: str
    second: str
    budget: float
    probability: float
    difference: float

    @property
    def wrong(self) -> bool:
        """Whether the second was measured higher."""
        return self.difference < 0


@dataclass(frozen=True)
class HeldOut:
    """All rungs that were left out, and all pairs of entries at them."""

    checks: tuple[Check, ...]
    orders: tuple[Order, ...]

    @property
    def inside(self) -> int:
        """How many measured accuracies are in their intervals."""
        return sum(check.inside for check in self.checks)

    @property
    def wrong(self) -> list[Order]:
        """The pairs that were predicted in the wrong order."""
        return [order for order in self.orders if order.wrong]

    @property
    def sentence(self) -> str:
        """The coverage of the intervals and the order of pairs in words."""
        n = len(self.checks)
        coverage = self.inside / n
        text = f"90% intervals held {self.inside} of {n} measured accuracies ({coverage:.0%})"
        if coverage < LEVEL:
            text += f", below the nominal {LEVEL:.0%}: the intervals may be too narrow"
        if self.orders:
            text += f"; {len(self.wrong)} of {len(self.orders)} pairs were in the wrong order"
        return text


def held_out(curves: Sequence[Curve], count: int = 1) -> HeldOut | None:
    """Leaves out the `count` longest rungs of each curve and predicts them; None where no curve has enough rungs."""
    checks: list[Check] = []
    drawn: dict[float, list[tuple[Check, Array]]] = {}
    for curve in curves:
        if len(curve.rungs) < MIN_RUNGS + count:
            continue
        fitted = fit(replace(curve, rungs=curve.rungs[:-count]))
        for rung in curve.rungs[-count:]:
            draws = fitted.measured([rung.budget], len(rung.values))[:, 0]
            check = Check(curve.entry, rung.budget, interval(draws), rung.mean)
            checks.append(check)
            drawn.setdefault(rung.budget, []).append((check, draws))
    pairs = [pair for rung in drawn.values() for pair in itertools.combinations(rung, 2)]
    return HeldOut(tuple(checks), tuple(_order(*pair) for pair in pairs)) if checks else None


def _order(one: tuple[Check, Array], other: tuple[Check, Array]) -> Order:
    probability = probability_higher(one[1], other[1])
    if probability < 0.5:
        one, other, probability = other, one, 1.0 - probability
    (first, _), (second, _) = one, other
    return Order(first.entry, second.entry, first.budget, probability, first.measured - second.measured)
