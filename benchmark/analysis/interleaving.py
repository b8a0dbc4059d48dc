"""Long breaks between the runs of a seed, during which the machine's speed may have changed.

A ratio of two times includes such a change, which is why rule 13 interleaves methods within a seed. Adding an entry on
another day, or resuming after a break, departs from that rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import grouped, hardware_key, machine_text
from benchmark.analysis.comparison import training_cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.comparison import Comparison
    from benchmark.records.schema import Record

LONGEST_BREAK = 1800.0  # seconds


@dataclass(frozen=True)
class Break:
    """A time between two runs on one machine in which none was under way.

    Attributes:
        seconds: from the end of the runs before it to the start of the next one; the longest over `seeds`.
        before: entries with training time that ran before it, in order of their start; `after` likewise. Empty for
            breaks between two budgets.
    """

    seeds: tuple[int, ...]
    seconds: float
    before: tuple[str, ...]
    after: tuple[str, ...]
    machine: str


@dataclass(frozen=True)
class _Span:
    start: datetime
    end: datetime
    entry: str
    paid: bool


def breaks(comparison: Comparison) -> list[Break]:
    """The longest break above `LONGEST_BREAK` of each seed on each machine; seeds with the same entries share one."""
    groups = grouped(comparison.records, lambda record: (hardware_key(record), record.seed))
    merged: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Break] = {}
    for (hardware, seed), records in sorted(groups.items()):
        if longest := _longest(seed, records):
            key = (hardware, longest.before, longest.after)
            other = merged.get(key, replace(longest, seeds=()))
            merged[key] = replace(other, seeds=(*other.seeds, seed), seconds=max(other.seconds, longest.seconds))
    return list(merged.values())


def distances(lower: Comparison, upper: Comparison) -> list[Break]:
    """The runs of one entry under two budgets with more idle time than `LONGEST_BREAK` in between, by machine.

    Runs of other entries and seeds in between are no break: the harness runs a ladder in that order.
    """
    spans: dict[str, list[_Span]] = {}
    places: list[dict[tuple[str, int, str, str], _Span]] = [{}, {}]
    by_machine: dict[str, Break] = {}
    for number, comparison in enumerate((lower, upper)):
        for record in comparison.records:
            if (span := _span(record)) is not None:
                spans.setdefault(hardware_key(record), []).append(span)
                if span.paid:
                    place = (hardware_key(record), record.seed, record.experiment, record.entry)
                    places[number][place] = span
    machines = {hardware_key(record): machine_text(record) for record in lower.records}
    for place in sorted(places[0].keys() & places[1].keys()):
        first, second = sorted((places[0][place], places[1][place]), key=lambda span: span.start)
        hardware, seed, *_ = place
        seconds = _longest_idle(first.end, second.start, spans[hardware])
        if seconds > LONGEST_BREAK:
            known = by_machine.get(hardware, Break((), 0.0, (), (), machines[hardware]))
            seeds = tuple(sorted({*known.seeds, seed}))
            by_machine[hardware] = replace(known, seeds=seeds, seconds=max(known.seconds, seconds))
    return list(by_machine.values())


def _longest_idle(begin: datetime, end: datetime, spans: Sequence[_Span]) -> float:
    """Seconds of the longest idle stretch between two moments."""
    reached, longest = begin, 0.0
    for span in sorted(spans, key=lambda span: span.start):
        longest = max(longest, (min(span.start, end) - reached).total_seconds())
        reached = max(reached, span.end)
    return max(longest, (end - reached).total_seconds())


def _longest(seed: int, records: Sequence[Record]) -> Break | None:
    spans = sorted(filter(None, map(_span, records)), key=lambda span: (span.start, span.end, span.entry))
    longest: Break | None = None
    for place in range(1, len(spans)):
        before, after = spans[:place], spans[place:]
        seconds = (after[0].start - max(span.end for span in before)).total_seconds()
        if seconds <= (LONGEST_BREAK if longest is None else longest.seconds):
            continue
        names = [tuple(dict.fromkeys(span.entry for span in part if span.paid)) for part in (before, after)]
        if all(names):
            longest = Break((seed,), seconds, names[0], names[1], machine_text(records[0]))
    return longest


def _span(record: Record) -> _Span | None:
    """When a run was under way; None if unknown. The record of a resumed run has the start of its last part only."""
    start, end = map(datetime.fromisoformat, (record.started, record.ended))
    start, end = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc) for moment in (start, end))
    if record.ledger is not None:
        try:
            start = min(start, end - timedelta(seconds=record.ledger.total_time))
        except OverflowError:  # more than the years of a calendar
            return None
    return _Span(start, end, record.entry, bool(training_cost(record)))
