"""A report's tables of differences: each entry against the declared reference, and each against each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import tags_of
from benchmark.analysis.comparison import MIN_RESULT, Comparison, Row
from benchmark.analysis.differences import Difference, all_pairs, differences, tuning_differences
from benchmark.analysis.relative import time_ratio
from benchmark.records.schema import UNCHANGED
from benchmark.report.summary import name_of, self_supervised
from benchmark.report.tables import Cell, Table, number_cell, row_cell
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIFFERENCES = (
    *("Entry", "Pairs", "Linear top-1 (points)", "p (Holm)", "Chance to be higher", "Verdict", "Training time (ratio)"),
)
_OPPOSITE = {"higher": "lower", "lower": "higher"}


def differences_table(comparison: Comparison) -> Table | None:
    """Each row against the declared reference; None where no row has two seeds in common with it."""
    found = differences(comparison)
    if not any(one.paired.n > 1 for one in found):
        return None
    return Table(_DIFFERENCES, frozenset({1, 2, 3, 4, 6}), tuple(map(_difference_cells, found)))


def tuning_table(comparison: Comparison) -> Table | None:
    """Each tuned row against its entry as the recipe has it; None where no entry stands there both ways."""
    found = tuning_differences(comparison)
    heads = (_DIFFERENCES[0], "Against", *_DIFFERENCES[1:])
    cells = [(tuned, row_cell(one.reference), *rest) for one in found for tuned, *rest in [_difference_cells(one)]]
    compared = {id(one.row) for one in found}
    for row in comparison.rows:
        own = any(UNCHANGED in tags_of(record) for record in row.measured)
        if own and row.invalid is None and id(row) not in compared:
            cells.append((row_cell(row), Cell("itself: its own settings are the best"), *[Cell("")] * (len(heads) - 2)))
    return Table(heads, frozenset({2, 3, 4, 5, 7}), tuple(cells)) if cells else None


def _difference_cells(one: Difference) -> tuple[Cell, ...]:
    # Times are compared on one machine alone (rule 1), and where nothing speaks against them.
    safe = not one.row.unsafe and not one.reference.unsafe
    ratio = time_ratio(one.row, one.reference) if safe else None
    return (
        row_cell(one.row),
        Cell(str(one.paired.n), one.paired.n),
        Cell(_signed(one, 1.0), one.paired.mean),
        number_cell(one.p, lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}"),
        number_cell(one.improvement, lambda v: f"{v:.2f}"),
        Cell(_verdict(one)),
        number_cell(None if ratio is None else ratio.mean, lambda v: f"{v:.2f}"),
    )


def _signed(one: Difference, sign: float) -> str:
    mean, width = one.paired.mean, one.paired.ci95
    if mean is None:
        return ""
    return f"{sign * mean + 0.0:+.1f}" + ("" if width is None else f" ± {width:.1f}")


def _verdict(one: Difference) -> str:
    return one.verdict or (f"fewer than {MIN_RESULT} pairs" if one.paired.n < MIN_RESULT else "no spread to test by")


def pairs_table(comparison: Comparison) -> tuple[Table | None, str]:
    """Each self-supervised row against each: row - column, its interval and what the test says.

    Returns:
        The table, None where no two rows have three seeds in common; and what is left out of it and why, which is
        empty where nothing is.
    """
    every = [row for row in self_supervised(comparison) if not row.collapsed]
    found = {(id(one.row), id(one.reference)): one for one in all_pairs(every, differences(comparison))}
    tested = {place for pair, one in found.items() if one.paired.n >= MIN_RESULT for place in pair}
    rows = [row for row in every if id(row) in tested]
    if not rows:
        few = f"No two self-supervised entries have {MIN_RESULT} seeds in common, so that none is tested pair by pair."
        return None, few if len(every) > 1 else ""
    names = _names(rows)
    cells = [
        (replace(row_cell(row), text=names[id(row)]), *(_pair_cell(row, other, found) for other in rows))
        for row in rows
    ]
    table = Table(("Row - column", *names.values()), frozenset(range(1, len(rows) + 1)), tuple(cells))
    others = listing(name_of(row) for row in every if id(row) not in tested)
    return table, f"Left out, with fewer than {MIN_RESULT} seeds in common with any other: {others}." if others else ""


def _names(rows: Sequence[Row]) -> dict[int, str]:
    """Names for rows and columns; numbered where several rows (machines, experiments) have the same."""
    count, used = Counter(map(name_of, rows)), Counter[str]()
    found = {}
    for row in rows:
        name = name_of(row)
        used[name] += 1
        found[id(row)] = f"{name} ({used[name]})" if count[name] > 1 else name
    return found


def _pair_cell(row: Row, other: Row, found: dict[tuple[int, int], Difference]) -> Cell:
    if row is other:
        return Cell("")
    turned = (id(row), id(other)) not in found
    one = found[(id(other), id(row)) if turned else (id(row), id(other))]
    if one.paired.n < MIN_RESULT:
        return Cell("", note=_verdict(one))
    sign = -1.0 if turned else 1.0
    mean = one.paired.mean or 0.0
    verdict = _verdict(one)
    return Cell(_signed(one, sign), sign * mean, note=_OPPOSITE.get(verdict, verdict) if turned else verdict)
