"""Rows and comparisons: the runs of an entry, and the entries that are compared with each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.analysis.calibration import NO_PRICES, price_of
from benchmark.analysis.columns import attribute
from benchmark.analysis.comparability import (
    backbone_text,
    comparison_key,
    cost_key,
    frozen_key,
    grouped,
    hardware_key,
    ladder_key,
    short_hash,
)
from benchmark.analysis.statistics import Summary, sampling_half_width, summarise
from benchmark.records.budgets import budget_size
from benchmark.records.invalid import why_invalid
from benchmark.records.keys import EXTERNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmark.analysis.calibration import Price, Prices
    from benchmark.records.cost import Interval, StepCost
    from benchmark.records.schema import Record

REFERENCES = ("random_init", "supervised")
MEASURED = ("completed", "collapsed")
MIN_RESULT = 3  # completed seeds for a result; fewer are preliminary (rule 19)
# Flags that make a run's times unsafe (rules 12 to 14).
UNSAFE_TIMES = frozenset({"resumed", "input-bound", "shared device", "busy machine", "throttled", "tracked"})
MIN_RANKED = 5  # completed seeds for a rank (rule 19)


def row_key(record: Record) -> tuple[str, ...]:
    """The key of a row: the same entry of the same experiment with the same settings, on machines of one kind.

    It includes the recipe's settings, so that entries of one name with different settings stay apart (rule 22); not the
    recipe's name, which may change.
    """
    config = record.config
    identity = {name: config.get(name) for name in ("entry", "method", "backbone")}
    settings = short_hash({"method": record.method, "backbone": record.backbone, **identity})
    return (record.experiment, record.entry, record.purpose, comparison_key(record), cost_key(record), settings)


@dataclass(frozen=True)
class Row:
    """The runs of one entry, at least one: its seeds under one configuration, in order of their seed.

    `price`: what a step of them costs, where a step-cost record prices all rows of the ladder.
    """

    records: tuple[Record, ...]
    price: Price | None = None

    @property
    def first(self) -> Record:
        """The record that stands for what all have in common."""
        return self.records[0]

    @cached_property
    def measured(self) -> tuple[Record, ...]:
        """The runs that means are over: probed at their end, collapsed ones included (rule 18)."""
        return tuple(r for r in self.records if r.status in MEASURED and r.metrics is not None)

    @cached_property
    def completed(self) -> tuple[Record, ...]:
        """The runs that completed and were probed."""
        return tuple(record for record in self.measured if record.status == "completed")

    @cached_property
    def timed(self) -> tuple[Record, ...]:
        """The measured runs with safe times, or all of them if none has safe times."""
        return tuple(record for record in self.measured if not UNSAFE_TIMES & set(record.flags)) or self.measured

    @property
    def unsafe(self) -> bool:
        """Whether the row's cost is unsafe: all of its times (rules 12 to 14), or the step cost that prices it."""
        return self.unsafe_clock if self.price is None else bool(self.price.cost.flags)

    @property
    def unsafe_clock(self) -> bool:
        """Whether all times by the runs' own clocks are unsafe."""
        return any(UNSAFE_TIMES & set(record.flags) for record in self.timed)

    @property
    def collapsed(self) -> bool:
        """Whether all measured runs collapsed: the row is in the tables, but not ranked."""
        return bool(self.measured) and not self.completed

    @property
    def n(self) -> int:
        """The number of runs, failed ones included (rule 18)."""
        return len(self.records)

    @cached_property
    def invalid(self) -> str | None:
        """The reason why one of the runs is invalid, if any (rule 25)."""
        return next((reason for record in self.records if (reason := why_invalid(record))), None)

    @property
    def preliminary(self) -> bool:
        """Whether there are too few completed runs for a result (rule 19)."""
        return len(self.completed) < MIN_RESULT

    @property
    def may_be_ranked(self) -> bool:
        """Whether enough runs were made, and all completed and are valid (rule 19); references are never ranked."""
        enough = self.n == len(self.completed) >= MIN_RANKED
        return enough and self.invalid is None and self.first.method not in REFERENCES

    @property
    def status(self) -> str:
        """One word if all runs ended alike, else a count for each ending; a failure names its cause."""
        endings = Counter(f"{r.status} ({r.cause})" if r.cause else r.status for r in self.records)
        order = sorted(endings, key=lambda ending: (ending != "completed", ending))
        return order[0] if len(order) == 1 else ", ".join(f"{endings[ending]} {ending}" for ending in order)

    def summary(self, value: Callable[[Record], float | None]) -> Summary:
        """Mean and spread of a value over the measured runs."""
        return summarise([value(record) for record in self.measured])

    def time_summary(self, value: Callable[[Record], float | None]) -> Summary:
        """Mean and spread of a time, or of a value computed from one, over `timed`."""
        return summarise([value(record) for record in self.timed])

    @cached_property
    def accuracy(self) -> Summary:
        """Linear top-1 of the primary encoder on the test split, in percent."""
        return self.summary(attribute("metrics.scores.linear_top1"))

    @cached_property
    def sampling95(self) -> float | None:
        """The test split's sampling error of the mean linear top-1 (half of 95%), in percentage points."""
        images = self.first.dataset.counts.get("test", 0)
        if self.accuracy.mean is None or images < 1:
            return None
        return sampling_half_width(self.accuracy.mean, images)

    @property
    def half_width(self) -> float | None:
        """Half the interval of the mean: over seeds from two on, else the test split's sampling error."""
        return self.accuracy.ci95 if self.accuracy.ci95 is not None else self.sampling95

    @cached_property
    def cost(self) -> Summary:
        """Training cost in device-seconds: calibrated where the row has a price, else by the runs' own clocks.

        A calibrated cost has the interval of the measurement, which is over its rounds and not over seeds.
        """
        if self.price is None or self.steps is None:
            return self.own_cost
        interval = self.price.device_seconds(self.steps)
        return Summary(len(self.measured), interval.median, None, (interval.high - interval.low) / 2)

    @cached_property
    def own_cost(self) -> Summary:
        """Training cost by the runs' own clocks: devices x training time, in seconds."""
        return self.time_summary(training_cost)

    @cached_property
    def steps(self) -> float | None:
        """Mean number of steps of the measured runs, which differs by seed only under a budget of time."""
        return self.summary(attribute("ledger.steps")).mean

    @property
    def clock(self) -> str:
        """What the row's cost was measured by; costs may be compared where it is the same (rule 1)."""
        return hardware_key(self.first) if self.price is None else self.price.cost.key

    @property
    def calibrated_time(self) -> Interval | None:
        """Mean calibrated training time in seconds; None without a price."""
        return None if self.price is None or self.steps is None else self.price.seconds(self.steps)

    @property
    def own_clock_ratio(self) -> float | None:
        """Training time by the runs' own clocks divided by the calibrated one; None if they ran on other hardware."""
        return None if self.price is None else self.price.own_clock_ratio(self.timed)


def training_cost(record: Record) -> float | None:
    """Devices x training time in seconds; None without a ledger."""
    return None if record.ledger is None else record.ledger.training_time * max(1, record.ledger.devices)


@dataclass(frozen=True)
class Comparison:
    """The rows that are ranked together: records of one comparison key.

    Rows are by falling mean accuracy; then those without one, by name; then the invalid ones.

    `guests` are encoders trained elsewhere that were scored on the same images in the same way. They are listed
    after the rows, and are no part of what a comparison concludes: nobody knows what they cost.
    """

    key: str
    rows: tuple[Row, ...]
    guests: tuple[Row, ...] = ()

    @property
    def first(self) -> Record:
        """The record that speaks for what all rows have in common."""
        return self.rows[0].first

    @property
    def shown(self) -> list[Row]:
        """The rows and the guests, in the order of rows."""
        return sorted([*self.rows, *self.guests], key=_by_accuracy)

    @property
    def records(self) -> list[Record]:
        """All records of the rows."""
        return [record for row in self.rows for record in row.records]

    @property
    def step_cost(self) -> StepCost | None:
        """The record that prices all rows; None if costs are those of the runs' own clocks."""
        return next((row.price.cost for row in self.rows if row.price is not None), None)

    @property
    def floors(self) -> list[Row]:
        """The valid rows of untrained networks that were measured."""
        rows = [row for row in self.rows if row.first.method == "random_init" and row.invalid is None]
        return [row for row in rows if row.accuracy.mean is not None]

    def floor(self, row: Row) -> Row | None:
        """The untrained network that a row is compared with: on its own backbone, else the most accurate one."""
        own = backbone_text(row.first)
        return max(self.floors, key=lambda r: (backbone_text(r.first) == own, r.accuracy.mean or 0.0), default=None)

    def beats_random_init(self, row: Row) -> str:
        """Whether a row exceeds the untrained network: `yes`, `no` (below it), `tie` (the intervals overlap), or empty.

        Two rows differ if their intervals do not overlap. The half width is that of the 95% Student-t interval over
        seeds from two seeds on; for a single seed it is the test split's 95% sampling error, which does not include the
        variation between seeds. Empty for the untrained network itself, for rows without a mean and for comparisons
        without an untrained network.
        """
        floor = self.floor(row)
        if floor is None or row.invalid or row.first.method == "random_init":
            return ""
        if row.accuracy.mean is None or floor.accuracy.mean is None:
            return ""
        margin = (row.half_width or 0.0) + (floor.half_width or 0.0)
        difference = row.accuracy.mean - floor.accuracy.mean
        return "tie" if abs(difference) <= margin else "yes" if difference > 0 else "no"


def _newest_of_each_key(records: Sequence[Record]) -> list[Record]:
    """The records without copies and repetitions on the same kind of machine: the latest final outcome of each run."""
    best: dict[tuple[str, ...], Record] = {}
    for record in records:
        place = (record.experiment, record.entry, record.purpose, record.key, cost_key(record))
        old = best.get(place)
        if old is None or (old.status == "failed", record.ended) > (record.status == "failed", old.ended):
            best[place] = record
    return list(best.values())


def rows_of(records: Sequence[Record], prices: Prices = NO_PRICES) -> list[Row]:
    """The rows of some records, each with its runs by seed, in order of their first record.

    Those of a ladder have prices if one step-cost record prices them all.
    """
    groups = grouped(_newest_of_each_key(records), row_key)
    rows = [Row(tuple(sorted(group, key=lambda r: (r.seed, r.key)))) for group in groups.values()]
    chosen = {
        key: prices.choose(to_price(ladder)) for key, ladder in grouped(rows, lambda r: ladder_key(r.first)).items()
    }
    return [_priced(row, chosen[ladder_key(row.first)]) for row in rows]


def to_price(rows: Sequence[Row]) -> list[Record]:
    """The runs whose steps need a price: those of valid rows that trained."""
    return [record for row in rows if row.invalid is None and row.own_cost.mean for record in row.measured]


def _priced(row: Row, cost: StepCost | None) -> Row:
    price = price_of(cost, row.first) if cost is not None and row.own_cost.mean else None
    return row if price is None else replace(row, price=price)


def valid_rows(records: Sequence[Record], prices: Prices = NO_PRICES) -> list[Row]:
    """The rows that figures show: without the invalid ones."""
    return [row for row in rows_of(records, prices) if row.invalid is None]


def _by_accuracy(row: Row) -> tuple[bool, float, str, str]:
    mean = row.accuracy.mean
    last = float("inf") if mean is None else -mean
    return (row.invalid is not None, last, row.first.entry, cost_key(row.first))


def comparisons(records: Sequence[Record], prices: Prices = NO_PRICES) -> list[Comparison]:
    """All comparisons among some records, by dataset, ladder and rising budget.

    Encoders trained elsewhere are guests of every comparison whose runs were scored alike; the others have one of their
    own.
    """
    rows = rows_of(records, prices)
    hosts = {frozen_key(row.first) for row in rows if row.first.method != EXTERNAL}
    guests = [row for row in rows if row.first.method == EXTERNAL and frozen_key(row.first) in hosts]
    staying = {id(row) for row in guests}
    groups = grouped((row for row in rows if id(row) not in staying), lambda row: comparison_key(row.first))
    welcome = grouped(guests, lambda row: frozen_key(row.first))
    every = [
        Comparison(key, tuple(sorted(own, key=_by_accuracy)), tuple(welcome.get(frozen_key(own[0].first), ())))
        for key, own in groups.items()
    ]
    return sorted(every, key=lambda c: (c.first.dataset.name, ladder_key(c.first), budget_size(c.first), c.key))
