"""Whether the runs of a seed followed each other, so that their times are of one and the same state of the machine.

A ratio of two times also holds what the machine's speed changed between them. Rule 13 has methods interleaved within a
seed for that reason; whoever adds an entry to an experiment on another day, or goes on after a break, departs from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import hardware_key, machine_text
from benchmark.analysis.comparison import training_cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.comparison import Comparison
    from benchmark.records.schema import Record

LONGEST_BREAK = 1800.0  # seconds


@dataclass(frozen=True)
class Break:
    """A time in which no run of a seed was under way, though some of its runs were still to come.

    Attributes:
        seeds: those that were broken off like this.
        seconds: from the end of the runs before it to the start of the next one; the longest over these seeds.
        before: entries whose times are compared and that ran before it, in the order of their start.
        after: those that ran after it, likewise.
        machine: what they ran on.
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
    """The longest break of each seed on each machine that is longer than `LONGEST_BREAK`; equal ones are one."""
    groups: dict[tuple[str, int], list[Record]] = {}
    for row in comparison.rows:
        for record in row.records:
            groups.setdefault((hardware_key(record), record.seed), []).append(record)
    merged: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Break] = {}
    for (hardware, seed), records in sorted(groups.items()):
        if (found := _longest(seed, records)) is None:
            continue
        key = (hardware, found.before, found.after)
        other = merged.get(key, Break((), 0.0, found.before, found.after, found.machine))
        merged[key] = Break((*other.seeds, seed), max(other.seconds, found.seconds), *key[1:], found.machine)
    return list(merged.values())


@dataclass(frozen=True)
class Distance:
    """How long nothing went on between the runs of two budgets on one machine.

    Attributes:
        seeds: those whose runs are that far apart.
        seconds: in which no run of the two budgets was under way; the longest over entries and seeds.
        record: of a run on the machine.
    """

    seeds: tuple[int, ...]
    seconds: float
    record: Record


def distances(one: Comparison, other: Comparison) -> list[Distance]:
    """Between which runs of an entry under two budgets lie more than `LONGEST_BREAK` without any run, by machine.

    Runs of other entries and seeds in between are the order that the harness gives a ladder, and no break.
    """
    spans: dict[str, list[_Span]] = {}
    places: list[dict[tuple[str, int, str, str], _Span]] = [{}, {}]
    found: dict[str, Distance] = {}
    for number, comparison in enumerate((one, other)):
        for record in comparison.records:
            if (span := _span(record)) is not None:
                spans.setdefault(hardware_key(record), []).append(span)
                if span.paid:
                    place = (hardware_key(record), record.seed, record.experiment, record.entry)
                    places[number][place] = span
    machines = {hardware_key(record): record for record in one.records}
    for place in sorted(places[0].keys() & places[1].keys()):
        first, second = sorted((places[0][place], places[1][place]), key=lambda span: span.start)
        hardware, seed, *_ = place
        seconds = _longest_idle(first.end, second.start, spans[hardware])
        if seconds > LONGEST_BREAK:
            known = found.get(hardware, Distance((), 0.0, machines[hardware]))
            seeds = tuple(sorted({*known.seeds, seed}))
            found[hardware] = Distance(seeds, max(known.seconds, seconds), known.record)
    return list(found.values())


def _longest_idle(begin: datetime, end: datetime, spans: Sequence[_Span]) -> float:
    """Seconds of the longest stretch between two moments in which nothing was under way."""
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
    """When a run was under way; None where nobody can tell. A resumed one tells the start of its last part alone."""
    start, end = _moment(record.started), _moment(record.ended)
    if start is None or end is None:
        return None
    if record.ledger is not None:
        start = min(start, end - timedelta(seconds=record.ledger.total_time))
    return _Span(start, end, record.entry, bool(training_cost(record)))


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
