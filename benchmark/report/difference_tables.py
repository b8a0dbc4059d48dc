"""Tables of differences: every entry against the declared reference, tuned against untuned, all pairs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import tags_of
from benchmark.analysis.comparison import MIN_RESULT, Comparison, Row
from benchmark.analysis.differences import Difference, all_pairs, differences, tuning_differences
from benchmark.analysis.relative import cost_ratio
from benchmark.analysis.standings import self_supervised
from benchmark.records.schema import UNCHANGED
from benchmark.report.summary import name_of
from benchmark.report.tables import Cell, Table, number_cell, row_cell
from benchmark.text import listing, p_text, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIFFERENCES = (
    *("Entry", "Pairs", "Linear top-1 (points)", "p (Holm)", "Chance to be higher", "Verdict", "Cost (ratio)"),
)
_OPPOSITE = {"higher": "lower", "lower": "higher"}
_VERDICTS = {"tie": "not significantly different"}


def differences_table(comparison: Comparison) -> Table | None:
    """Each row against the declared reference; None if no row has two seeds in common with it."""
    rows = differences(comparison)
    if not any(difference.paired.n > 1 for difference in rows):
        return None
    return Table(_DIFFERENCES, frozenset({1, 2, 3, 4, 6}), tuple(map(_difference_cells, rows)))


def tuning_table(comparison: Comparison) -> Table | None:
    """Each tuned row against its entry with the recipe's settings; None if no entry has both."""
    pairs = tuning_differences(comparison)
    heads = (_DIFFERENCES[0], "Against", *_DIFFERENCES[1:])
    cells = [(tuned, row_cell(pair.reference), *rest) for pair in pairs for tuned, *rest in [_difference_cells(pair)]]
    compared = {id(pair.row) for pair in pairs}
    for row in comparison.rows:
        own = any(UNCHANGED in tags_of(record) for record in row.measured)
        if own and row.invalid is None and id(row) not in compared:
            cells.append((row_cell(row), Cell("itself: its own settings are the best"), *[Cell("")] * (len(heads) - 2)))
    return Table(heads, frozenset({2, 3, 4, 5, 7}), tuple(cells)) if cells else None


def _difference_cells(pair: Difference) -> tuple[Cell, ...]:
    # Only safe times of one clock are compared (rules 1 and 12 to 14).
    safe = not pair.row.unsafe and not pair.reference.unsafe
    ratio = cost_ratio(pair.row, pair.reference) if safe else None
    return (
        row_cell(pair.row),
        Cell(str(pair.paired.n), pair.paired.n),
        Cell(_signed(pair, 1.0), pair.paired.mean),
        number_cell(pair.p, p_text),
        number_cell(pair.improvement, lambda v: f"{v:.2f}"),
        Cell(_verdict(pair)),
        number_cell(None if ratio is None else ratio.mean, lambda v: f"{v:.2f}"),
    )


def _signed(pair: Difference, sign: float) -> str:
    mean = pair.paired.mean
    return "" if mean is None else signed(sign * mean, pair.half_width)


def _verdict(pair: Difference) -> str:
    if pair.verdict:
        return _VERDICTS.get(pair.verdict, pair.verdict)
    return f"fewer than {MIN_RESULT} pairs" if pair.paired.n < MIN_RESULT else "no spread, no test"


def pairs_table(comparison: Comparison) -> tuple[Table | None, str]:
    """All pairs of self-supervised rows: row - column, its interval and the verdict of the test.

    Returns:
        The table, or None if no two rows have three seeds in common; and a sentence on what is left out and why.
    """
    every = [row for row in self_supervised(comparison) if not row.collapsed]
    pairs = {(id(pair.row), id(pair.reference)): pair for pair in all_pairs(every, differences(comparison))}
    tested = {place for ids, pair in pairs.items() if pair.paired.n >= MIN_RESULT for place in ids}
    rows = [row for row in every if id(row) in tested]
    if not rows:
        few = f"No two self-supervised entries have {MIN_RESULT} seeds in common, so no pair is tested."
        return None, few if len(every) > 1 else ""
    names = _names(rows)
    cells = [
        (replace(row_cell(row), text=names[id(row)]), *(_pair_cell(row, other, pairs) for other in rows))
        for row in rows
    ]
    table = Table(("Row - column", *names.values()), frozenset(range(1, len(rows) + 1)), tuple(cells))
    others = listing(name_of(row) for row in every if id(row) not in tested)
    return (
        table,
        f"Left out (fewer than {MIN_RESULT} seeds in common with any other entry): {others}." if others else "",
    )


def _names(rows: Sequence[Row]) -> dict[int, str]:
    """Names for rows and columns; numbered if several rows (machines, experiments) share one."""
    count, used = Counter(map(name_of, rows)), Counter[str]()
    names = {}
    for row in rows:
        name = name_of(row)
        used[name] += 1
        names[id(row)] = f"{name} ({used[name]})" if count[name] > 1 else name
    return names


def _pair_cell(row: Row, other: Row, pairs: dict[tuple[int, int], Difference]) -> Cell:
    if row is other:
        return Cell("")
    turned = (id(row), id(other)) not in pairs
    pair = pairs[(id(other), id(row)) if turned else (id(row), id(other))]
    if pair.paired.n < MIN_RESULT:
        return Cell("", note=_verdict(pair))
    sign = -1.0 if turned else 1.0
    mean = pair.paired.mean or 0.0
    verdict = _verdict(pair)
    return Cell(_signed(pair, sign), sign * mean, note=_OPPOSITE.get(verdict, verdict) if turned else verdict)
