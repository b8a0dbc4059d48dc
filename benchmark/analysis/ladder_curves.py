"""From records to predictions: the ladders of each entry, and what they predict for a longer budget.

A rung's accuracy is that of the report's rows: linear top-1 of the primary encoder on the test split.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import grouped, hardware_key, ladder_key, short_hash
from benchmark.analysis.comparison import Row, valid_rows
from benchmark.analysis.held_out import HeldOut, held_out
from benchmark.analysis.prediction import (
    MIN_RUNGS,
    Crossing,
    Curve,
    Fit,
    Interval,
    Rung,
    crossing,
    fit,
    interval,
    probability_higher,
)
from benchmark.errors import UserError
from benchmark.records.budgets import budget_kind, budget_of, budget_size, has_time_budget, limit_text
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.calibration import Prices
    from benchmark.records.schema import Record

_Z95 = 1.96  # half of a 95% interval in standard deviations


@dataclass(frozen=True)
class EntryCurve:
    """The rungs of one entry, and the row of the longest one, which has its colour, marker and cost."""

    curve: Curve
    row: Row

    @property
    def entry(self) -> str:
        """The entry's name, unique within its ladder."""
        return self.curve.entry

    @property
    def budgets(self) -> tuple[float, ...]:
        """The measured budgets."""
        return tuple(rung.budget for rung in self.curve.rungs)

    def cost(self, budget: float) -> float | None:
        """Training cost in device-seconds at a budget, in proportion to that of the longest rung; None if unknown."""
        return None if not self.row.cost.mean else self.row.cost.mean * budget / self.curve.longest.budget


@dataclass(frozen=True)
class Ladder:
    """The curves of the entries that differ in nothing but what is compared; `kind` is what their budgets limit."""

    kind: str
    curves: tuple[EntryCurve, ...]

    @property
    def first(self) -> Record:
        """The record that speaks for what all curves have in common."""
        return self.curves[0].row.first


def entry_ladders(records: Sequence[Record], prices: Prices) -> list[Ladder]:
    """The ladders among some records, one-rung ones included; untrained networks are on none.

    Budgets that buy something else on other hardware, or by another step-cost record, are on ladders of their own.
    """

    def place(row: Row) -> tuple[str, ...]:
        first = row.first
        machine = hardware_key(first) if has_time_budget(first) else ""
        return ladder_key(first), budget_kind(first), str(budget_of(first).get("step_cost", "")), machine

    rows = [row for row in valid_rows(records, prices) if row.first.method != "random_init" and row.measured]
    return [Ladder(key[1], _curves(same)) for key, same in grouped(rows, place).items() if key[1]]


def _curves(rows: Sequence[Row]) -> tuple[EntryCurve, ...]:
    """A curve per entry and settings, with a name that is unique."""

    def settings(row: Row) -> tuple[str, str, str]:
        parts = {name: row.first.config.get(name) for name in ("method", "backbone")}
        return row.first.entry, row.first.experiment, short_hash(parts)

    groups = grouped(rows, settings)
    entries = Counter(entry for entry, _, _ in groups)
    places = Counter(key[:2] for key in groups)
    curves = []
    for (entry, experiment, digest), same in groups.items():
        name = entry if entries[entry] == 1 else f"{experiment}/{entry}"
        name += "" if places[entry, experiment] == 1 else f" ({digest[:4]})"
        curves.append(_curve(name, same))
    return tuple(sorted(curves, key=lambda curve: curve.entry))


def _curve(name: str, rows: Sequence[Row]) -> EntryCurve:
    """The rungs of some rows of one entry; of a seed that ran on several machines, one run counts."""
    by_budget = dict(sorted(grouped(rows, lambda row: budget_size(row.first)).items()))
    rungs = []
    for budget, same in by_budget.items():
        runs = [record for row in same for record in row.measured if record.metrics]
        seeds = {record.seed: record.metrics.scores.linear_top1 for record in runs if record.metrics}
        rungs.append(Rung(budget, tuple(score for _, score in sorted(seeds.items()))))
    longest = by_budget[rungs[-1].budget][0]
    return EntryCurve(Curve(name, tuple(rungs), (longest.sampling95 or 0.0) / _Z95), longest)


@dataclass(frozen=True, eq=False)
class EntryPrediction:
    """What an entry's curve predicts at the longer budget, `target`."""

    source: EntryCurve
    fit: Fit
    target: float

    @property
    def entry(self) -> str:
        """The entry's name."""
        return self.source.entry

    @property
    def top1(self) -> Interval:
        """Linear top-1 in percent as it would be measured, with as many seeds as the longest rung has."""
        return interval(self.fit.measured([self.target])[:, 0])


@dataclass(frozen=True, eq=False)
class Pair:
    """Two entries at the longer budget, the first predicted to be higher with this probability."""

    first: str
    second: str
    probability: float
    crossing: Crossing
    shortest: float  # budget from which on a crossing was looked for


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a ladder predicts for a longer budget, the most accurate entry first.

    Attributes:
        left_out: sentences about entries without a prediction.
        check: how well the ladder predicts its own longest rungs; None with fewer than four.
    """

    ladder: Ladder
    target: float
    entries: tuple[EntryPrediction, ...]
    left_out: tuple[str, ...]
    check: HeldOut | None

    @property
    def target_text(self) -> str:
        """The longer budget in words."""
        return limit_text(self.ladder.kind, self.target)

    @property
    def single(self) -> list[str]:
        """The entries with one seed at every rung."""
        return [entry.entry for entry in self.entries if not entry.fit.curve.residuals.size]

    def pairs(self) -> list[Pair]:
        """Every two entries, those with the least certain order first."""
        pairs = [self._pair(*two) for two in itertools.combinations(self.entries, 2)]
        return sorted(pairs, key=lambda pair: pair.probability)

    def _pair(self, first: EntryPrediction, second: EntryPrediction) -> Pair:
        draws = [entry.fit.measured([self.target])[:, 0] for entry in (first, second)]
        probability = probability_higher(draws[0], draws[1])
        if probability < 0.5:
            first, second, probability = second, first, 1.0 - probability
        shortest = max(entry.source.budgets[0] for entry in (first, second))
        return Pair(
            first.entry, second.entry, probability, crossing(first.fit, second.fit, shortest, self.target), shortest
        )


def predict(ladder: Ladder, target: float) -> Prediction:
    """Predicts every entry of a ladder at a longer budget.

    Raises:
        UserError: no entry has enough rungs, or none is shorter than the target.
    """
    enough = [curve for curve in ladder.curves if len(curve.budgets) >= MIN_RUNGS]
    if not enough:
        raise UserError(f"a prediction {few_rungs(ladder.curves, ladder.kind, MIN_RUNGS)}")
    shorter = [curve for curve in enough if curve.budgets[-1] < target]
    if not shorter:
        longest = limit_text(ladder.kind, max(curve.budgets[-1] for curve in enough))
        raise UserError(
            f"the budget is {limit_text(ladder.kind, target)}, and the longest rung {longest}; a prediction is for a "
            "longer budget than any measured one"
        )
    entries = [EntryPrediction(curve, fit(curve.curve), target) for curve in shorter]
    few = [curve for curve in ladder.curves if len(curve.budgets) < MIN_RUNGS]
    left_out = [f"a prediction {few_rungs(few, ladder.kind, MIN_RUNGS)}"] if few else []
    if reached := [curve.entry for curve in enough if curve.budgets[-1] >= target]:
        left_out.append(f"already measured there or beyond: {listing(reached)}")
    return Prediction(
        ladder,
        target,
        tuple(sorted(entries, key=lambda entry: -entry.top1.median)),
        tuple(left_out),
        held_out([curve.curve for curve in enough]),
    )


def few_rungs(curves: Sequence[EntryCurve], kind: str, needed: int) -> str:
    """What needs more rungs than some entries have, which these are, and a budget that has enough."""
    parts = []
    for budgets, same in grouped(curves, lambda curve: curve.budgets).items():
        rungs = listing([*(f"{budget:g}" for budget in budgets[:-1]), limit_text(kind, budgets[-1])])
        parts.append(f"{listing(curve.entry for curve in same)} with {len(budgets)} ({rungs})")
    longest = max(curves, key=lambda curve: len(curve.budgets)).budgets
    more = [longest[-1] * 2**n for n in range(1, needed - len(longest) + 1)]
    enough = f"{kind}={','.join(f'{budget:g}' for budget in (*longest, *more))}"
    return f"needs at least {needed} rungs of an entry, such as {enough}; too few: {'; '.join(parts)}"


def predictions(records: Sequence[Record], prices: Prices, kind: str, target: float) -> list[Prediction]:
    """What each ladder of a kind of budget predicts for a longer one; those that cannot are left out.

    Raises:
        UserError: there is no ladder of that kind, or none that can be predicted from; the reason is the first one's.
    """
    found, reasons = [], []
    for ladder in entry_ladders(records, prices):
        if ladder.kind == kind:
            try:
                found.append(predict(ladder, target))
            except UserError as error:
                reasons.append(str(error))
    if not found:
        raise UserError(reasons[0] if reasons else f"no run had a budget of {kind}, so that none can be predicted")
    return found
