"""Two results folders against each other: settings that differ, and results that changed beyond noise."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparability import comparison_key, differing_fields, fields_of, grouped, hardware_key
from benchmark.analysis.comparison import MIN_RESULT, Row, rows_of
from benchmark.analysis.differences import paired_by_seed
from benchmark.analysis.statistics import ALPHA, holm
from benchmark.analysis.values import commit_text
from benchmark.records.budgets import budget_size, budget_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmark.records.schema import Record

_SETTINGS = ("entry", "method", "backbone", "recipe")  # of a configuration: what makes an entry what it is
_RANKED = (
    *("dataset", "dataset manifest", "pretraining images", "image size", "precision", "batch size", "evaluation"),
    *("training crops", "micro-batches", "acceleration", "rules version"),
)


@dataclass(frozen=True)
class Change:
    """One entry under one budget, in both folders or in one of them.

    Attributes:
        difference: second - first in points of linear top-1: mean over common seeds, or of the means without any.
        ci95: half its 95% interval, over common seeds.
        p: of the paired t-test, Holm-corrected over all entries; None for fewer than three common seeds.
        reproduced: how many runs with equal keys have equal metrics, and how many there are.
        time_ratio: training time, second / first; None on different machines or with unsafe times.
    """

    entry: str
    budget: str
    first: Row | None
    second: Row | None
    difference: float | None = None
    ci95: float | None = None
    p: float | None = None
    reproduced: tuple[int, int] = (0, 0)
    time_ratio: float | None = None

    @property
    def verdict(self) -> str:
        """The outcome: `equal`, `higher`, `lower`, `no significant difference`, or why the two cannot be compared.

        How large a difference may still be, its interval says; without seeds to test by, the sum of both half widths.
        """
        if self.first is None or self.second is None:
            return "only in the second" if self.first is None else "only in the first"
        wrong = self.first.invalid or self.second.invalid
        if wrong:
            return f"invalid: {wrong}"
        if comparison_key(self.first.first) != comparison_key(self.second.first):
            fields = differing_fields([self.first.first, self.second.first])
            return f"not comparable: {', '.join(name for name in fields if name in _RANKED) or 'other comparison'}"
        if self.difference is None:
            return f"{self.first.status} / {self.second.status}"
        same, shared = self.reproduced
        if shared and same == shared == self.first.n == self.second.n:
            return "equal"
        word = "higher" if self.difference > 0 else "lower"
        if self.p is not None:
            return word if self.p < ALPHA else "no significant difference"
        margin = (self.first.half_width or 0.0) + (self.second.half_width or 0.0)
        if abs(self.difference) > margin:
            return f"{word} (preliminary)"
        return f"no significant difference (preliminary, within ± {margin:.1f})"


def changes(first: Sequence[Record], second: Sequence[Record]) -> list[Change]:
    """Every entry and budget of either folder, by budget and name; rows of one name are paired by their settings."""
    rows = [
        grouped(rows_of(records), lambda row: (row.first.entry, budget_size(row.first), budget_text(row.first)))
        for records in (first, second)
    ]
    entries = []
    for place in sorted({**rows[0], **rows[1]}, key=lambda place: (place[1], place[0], place[2])):
        for first_row, second_row in _pairs(rows[0].get(place, []), rows[1].get(place, [])):
            entries.append(_change(place[0], first_row, second_row))
    corrected = holm([change.p for change in entries])
    return [replace(change, p=p) for change, p in zip(entries, corrected, strict=True)]


def _pairs(first: list[Row], second: list[Row]) -> list[tuple[Row | None, Row | None]]:
    """Rows in pairs: first those with the same settings and data, on the same machine if possible; then in their order.

    The rest has no partner.
    """
    left, matched = list(second), []
    rest: list[Row] = []
    for row in first:
        alike = [other for other in left if _settings(other) == _settings(row)]
        here = hardware_key(row.first)
        partner = min(alike, key=lambda other: hardware_key(other.first) != here, default=None)
        if partner is None:
            rest.append(row)
        else:
            left.remove(partner)
            matched.append((row, partner))
    pairs: list[tuple[Row | None, Row | None]] = [*matched, *itertools.zip_longest(rest, left)]
    return pairs


def _settings(row: Row) -> tuple[str, str]:
    parts = {name: row.first.config.get(name) for name in _SETTINGS}
    return comparison_key(row.first), json.dumps(parts, sort_keys=True, default=str)


def _change(entry: str, first: Row | None, second: Row | None) -> Change:
    row = first or second
    assert row is not None
    change = Change(entry, budget_text(row.first), first, second)
    if first is None or second is None or first.accuracy.mean is None or second.accuracy.mean is None:
        return change
    if comparison_key(first.first) != comparison_key(second.first) or first.invalid or second.invalid:
        return change
    paired = paired_by_seed(second, first)
    keys = {record.key: record for record in first.measured}
    shared = [(keys[record.key], record) for record in second.measured if record.key in keys]
    same = sum(ours.metrics == theirs.metrics for ours, theirs in shared)
    ratio = None
    if hardware_key(first.first) == hardware_key(second.first) and first.cost.mean and second.cost.mean:
        ratio = None if first.unsafe or second.unsafe else second.cost.mean / first.cost.mean
    return replace(
        change,
        difference=paired.mean if paired.mean is not None else second.accuracy.mean - first.accuracy.mean,
        ci95=paired.ci95,
        p=paired.p if paired.n >= MIN_RESULT else None,
        reproduced=(same, len(shared)),
        time_ratio=ratio,
    )


def unlike(first: Sequence[Record], second: Sequence[Record]) -> list[tuple[str, str, str]]:
    """Settings that differ between the two folders: name, values of the first, values of the second."""
    readers: list[Callable[[Record], dict[str, str]]] = [
        fields_of,
        lambda record: {"seed": str(record.seed), "commit": commit_text(record)},
        lambda record: record.environment.packages,
    ]
    differing: dict[str, tuple[str, str, str]] = {}
    for read in readers:
        values = [_values(records, read) for records in (first, second)]
        for name in {**values[0], **values[1]}:
            ours, theirs = (part.get(name, "") for part in values)
            if ours != theirs:
                differing.setdefault(name, (name, ours, theirs))
    return [*differing.values(), *_unlike_settings(first, second)]


def _unlike_settings(first: Sequence[Record], second: Sequence[Record]) -> list[tuple[str, str, str]]:
    """Settings that differ between the folders for entries that are in both."""
    rows = [{row.first.entry: row.first.config for row in rows_of(records)} for records in (first, second)]
    differing = []
    for entry in sorted(rows[0].keys() & rows[1].keys()):
        ours, theirs = (_flat({name: part[entry].get(name) for name in _SETTINGS}) for part in rows)
        for key in sorted({**ours, **theirs}):
            if ours.get(key, "") != theirs.get(key, ""):
                differing.append((f"{entry}: {key}", ours.get(key, ""), theirs.get(key, "")))
    return differing


def _values(records: Sequence[Record], read: Callable[[Record], dict[str, str]]) -> dict[str, str]:
    """Each field's values among some records, joined."""
    values: dict[str, set[str]] = {}
    for record in records:
        for name, text in read(record).items():
            values.setdefault(name, set()).add(text)
    return {name: ", ".join(sorted(texts)) for name, texts in values.items()}


def _flat(value: Any, key: str = "") -> dict[str, str]:
    """Nested settings by dotted key, as text."""
    if not isinstance(value, dict):
        return {key: json.dumps(value, default=str)}
    flat: dict[str, str] = {}
    for name, part in value.items():
        flat.update(_flat(part, f"{key}.{name}".lstrip(".")))
    return flat
