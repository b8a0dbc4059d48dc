"""Rows and comparisons: the runs of an entry, and the entries that may stand beside each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import backbone_text, comparison_key, cost_key, ladder_key, short_hash
from benchmark.analysis.statistics import Summary, sampling_half_width, summarise
from benchmark.records.budgets import budget_kind, budget_size, has_time_budget
from benchmark.records.invalid import why_invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmark.records.schema import Record

REFERENCES = ("random_init", "supervised")
MEASURED = ("completed", "collapsed")
MIN_RESULT = 3  # completed seeds for a result; fewer are preliminary (rule 19)
# Flags that speak against a run's times (rules 12 to 14).
UNSAFE_TIMES = frozenset({"resumed", "input-bound", "shared device", "busy machine", "throttled", "tracked"})
MIN_RANKED = 5  # completed seeds for a rank (rule 19)


def row_key(record: Record) -> tuple[str, ...]:
    """What makes two runs seeds of one row: the same entry of the same experiment, configured alike, on alike machines.

    Its recipe's settings belong to it, so that two experiments with equal entry names do not flow together (rule 22).
    """
    config = record.config
    identity = {name: config.get(name) for name in ("entry", "method", "backbone", "recipe")}
    settings = short_hash({"method": record.method, "backbone": record.backbone, **identity})
    return (record.experiment, record.entry, record.purpose, comparison_key(record), cost_key(record), settings)


@dataclass(frozen=True)
class Row:
    """The runs of one entry: its seeds under one configuration, in order of their seed.

    Attributes:
        records: at least one.
    """

    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        """The record that speaks for what all have in common."""
        return self.records[0]

    @cached_property
    def measured(self) -> tuple[Record, ...]:
        """The runs that stand in the means: probed at their end, collapsed ones included (rule 18)."""
        return tuple(r for r in self.records if r.status in MEASURED and r.metrics is not None)

    @cached_property
    def completed(self) -> tuple[Record, ...]:
        """The runs that went as they should."""
        return tuple(record for record in self.records if record.status == "completed" and record.metrics is not None)

    @cached_property
    def timed(self) -> tuple[Record, ...]:
        """The measured runs that times are taken from: those against whose times nothing speaks, if there are any."""
        return tuple(record for record in self.measured if not UNSAFE_TIMES & set(record.flags)) or self.measured

    @property
    def unsafe(self) -> bool:
        """Whether something speaks against all of the row's times (rules 12 to 14)."""
        return any(UNSAFE_TIMES & set(record.flags) for record in self.timed)

    @property
    def collapsed(self) -> bool:
        """Measured runs there are, but none that went as it should: in the tables, though in no contest."""
        return bool(self.measured) and not self.completed

    @property
    def n(self) -> int:
        """How many runs there are, failed ones included (rule 18)."""
        return len(self.records)

    @cached_property
    def invalid(self) -> str | None:
        """Which bug made one of the runs wrong, if any (rule 25)."""
        return next((reason for record in self.records if (reason := why_invalid(record))), None)

    @property
    def preliminary(self) -> bool:
        """Too few completed runs to be a result (rule 19)."""
        return len(self.completed) < MIN_RESULT

    @property
    def may_be_ranked(self) -> bool:
        """All runs completed, valid, and enough of them (rule 19); the two reference rows take no rank."""
        enough = self.n == len(self.completed) >= MIN_RANKED
        return enough and self.invalid is None and self.first.method not in REFERENCES

    @property
    def status(self) -> str:
        """One word if all runs ended alike, else a count for each ending; a failure names its cause."""
        endings = Counter(f"{r.status} ({r.cause})" if r.cause else r.status for r in self.records)
        if len(endings) == 1:
            return next(iter(endings))
        order = sorted(endings, key=lambda ending: (ending != "completed", ending))
        return ", ".join(f"{endings[ending]} {ending}" for ending in order)

    def summary(self, value: Callable[[Record], float | None]) -> Summary:
        """Mean and spread of a value over the measured runs."""
        return summarise([value(record) for record in self.measured])

    def time_summary(self, value: Callable[[Record], float | None]) -> Summary:
        """Mean and spread of a value that is a time, or made from one, over the runs that times are taken from."""
        return summarise([value(record) for record in self.timed])

    @cached_property
    def accuracy(self) -> Summary:
        """Linear top-1 of the primary encoder on the test split, in percent."""
        return self.summary(_linear_top1)

    @cached_property
    def sampling95(self) -> float | None:
        """The test split's sampling error of the mean linear top-1 (half of 95%), in percentage points."""
        images = self.first.dataset.counts.get("test", 0)
        if self.accuracy.mean is None or images < 1:
            return None
        return sampling_half_width(self.accuracy.mean, images)

    @property
    def half_width(self) -> float | None:
        """The interval by which the row is judged: over seeds from two on, else the test split's sampling error."""
        return self.accuracy.ci95 if self.accuracy.ci95 is not None else self.sampling95

    @cached_property
    def cost(self) -> Summary:
        """Training cost: devices x training time, in seconds."""
        return self.time_summary(training_cost)


def _linear_top1(record: Record) -> float | None:
    return None if record.metrics is None else record.metrics.scores.linear_top1


def training_cost(record: Record) -> float | None:
    """Devices x training time in seconds; None where the run left no ledger."""
    return None if record.ledger is None else record.ledger.training_time * max(1, record.ledger.devices)


@dataclass(frozen=True)
class Comparison:
    """The rows that are ranked together: records of one comparison key.

    Attributes:
        key: the comparison key.
        rows: by falling mean accuracy; rows without one come last, by name, and behind them the invalid ones.
    """

    key: str
    rows: tuple[Row, ...]

    @property
    def first(self) -> Record:
        """The record that speaks for what all rows have in common."""
        return self.rows[0].first

    @property
    def records(self) -> list[Record]:
        """All records."""
        return [record for row in self.rows for record in row.records]

    def floor(self, row: Row) -> Row | None:
        """The random-init row that a row has to beat: the one on its own backbone, else the most accurate one."""
        floors = [
            r
            for r in self.rows
            if r.first.method == "random_init" and r.accuracy.mean is not None and r.invalid is None
        ]
        return max(
            floors,
            key=lambda r: (backbone_text(r.first) == backbone_text(row.first), r.accuracy.mean or 0.0),
            default=None,
        )

    def beats_random_init(self, row: Row) -> str:
        """Whether a row lies beyond random-init: `yes`, `no` (below it), `tie` (the intervals meet), or empty.

        Two rows differ where their intervals do not meet: mean - half width of one above mean + half width of the
        other. The half width is the 95% Student-t interval over seeds from two seeds on; a single seed has none, and
        the test split's 95% sampling error stands in for it, which does not know how seeds vary. Empty for
        random-init itself, for rows without a mean and for comparisons without random-init.
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
    """A run copied or tried again (on a like machine) counts once: final outcomes before failures, then the latest."""
    best: dict[tuple[str, ...], Record] = {}
    for record in records:
        place = (record.experiment, record.entry, record.purpose, record.key, cost_key(record))
        old = best.get(place)
        if old is None or (old.status == "failed", record.ended) > (record.status == "failed", old.ended):
            best[place] = record
    return list(best.values())


def rows_of(records: Sequence[Record]) -> list[Row]:
    """The rows that records make, each with its runs by seed, in order of first use."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in _newest_of_each_key(records):
        groups.setdefault(row_key(record), []).append(record)
    return [Row(tuple(sorted(group, key=lambda r: (r.seed, r.key)))) for group in groups.values()]


def valid_rows(records: Sequence[Record]) -> list[Row]:
    """The rows that no known bug made wrong: what figures show."""
    return [row for row in rows_of(records) if row.invalid is None]


def comparisons(records: Sequence[Record]) -> list[Comparison]:
    """All comparisons that records make: by dataset, ladder and rising budget."""
    groups: dict[str, list[Row]] = {}
    for row in rows_of(records):
        groups.setdefault(comparison_key(row.first), []).append(row)

    def by_accuracy(row: Row) -> tuple[bool, float, str, str]:
        mean = row.accuracy.mean
        last = float("inf") if mean is None else -mean
        return (row.invalid is not None, last, row.first.entry, cost_key(row.first))

    found = [Comparison(key, tuple(sorted(rows, key=by_accuracy))) for key, rows in groups.items()]
    return sorted(found, key=lambda c: (c.first.dataset.name, ladder_key(c.first), budget_size(c.first), c.key))


def in_reading_order(rungs: Sequence[Comparison]) -> list[Comparison]:
    """The rungs of one ladder as a report tells them; the first one has the answer.

    Epochs and seconds have no common order: rungs go by what their budgets limit, the kind whose largest rung rests on
    the most measured runs first, data before cost where that is equal; within a kind the largest budget comes first.
    """
    kinds: dict[str, list[Comparison]] = {}
    for rung in rungs:
        kinds.setdefault(budget_kind(rung.first), []).append(rung)

    def runs(rung: Comparison) -> int:
        return sum(len(row.measured) for row in rung.rows)

    for found in kinds.values():
        found.sort(key=lambda rung: (-budget_size(rung.first), -runs(rung)))

    def place(kind: str) -> tuple[int, bool, str]:
        return -runs(kinds[kind][0]), has_time_budget(kinds[kind][0].first), kind

    return [rung for kind in sorted(kinds, key=place) for rung in kinds[kind]]
