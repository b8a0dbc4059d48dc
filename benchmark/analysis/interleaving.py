"""Whether the runs of a seed followed each other, so that their times are of one and the same state of the machine.

A ratio of two times also holds what the machine's speed changed between them. Rule 13 has methods interleaved within a
seed for that reason; whoever adds an entry to an experiment on another day, or goes on after a break, departs from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from benchmark.analysis.keys import hardware_key

if TYPE_CHECKING:
    from benchmark.analysis.comparison import Comparison
    from benchmark.records import Record

LONGEST_BREAK = 1800.0  # seconds


@dataclass(frozen=True)
class Break:
    """A time in which no run of a seed was under way, though some of its runs were still to come.

    Attributes:
        seed: whose runs.
        seconds: from the end of the runs before it to the start of the next one.
        before: entries that ran before it, in the order in which they started.
        after: entries that ran after it, likewise.
    """

    seed: int
    seconds: float
    before: tuple[str, ...]
    after: tuple[str, ...]


def breaks(comparison: Comparison) -> list[Break]:
    """The longest break of each seed on each machine that is longer than `LONGEST_BREAK`; only runs that paid count."""
    groups: dict[tuple[int, str], list[Record]] = {}
    for row in comparison.rows:
        if row.invalid is None and row.cost.mean:
            for record in row.measured:
                groups.setdefault((record.seed, hardware_key(record)), []).append(record)
    found = [_longest(seed, records) for (seed, _), records in sorted(groups.items())]
    return [one for one in found if one is not None]


def _longest(seed: int, records: list[Record]) -> Break | None:
    timed = [(_moment(record.started), _moment(record.ended), record.entry) for record in records]
    ordered = sorted((start, end, entry) for start, end, entry in timed if start is not None and end is not None)
    names = [entry for _, _, entry in ordered]
    longest: Break | None = None
    for place, (start, _, _) in enumerate(ordered):
        if place:
            seconds = (start - max(end for _, end, _ in ordered[:place])).total_seconds()
            if seconds > (LONGEST_BREAK if longest is None else longest.seconds):
                longest = Break(seed, seconds, tuple(names[:place]), tuple(names[place:]))
    return longest


def _moment(text: str) -> datetime | None:
    """None where nobody can tell."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
