"""Tables as plain cells, for both the HTML and the Markdown page."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from benchmark.analysis.comparability import backbone_text, hardware_key, short_hash
from benchmark.analysis.comparison import UNSAFE_TIMES, Comparison, Row, row_key
from benchmark.analysis.differences import median_time_to, ranks, targets_of
from benchmark.analysis.tables import leaderboard_row, relative, run_row
from benchmark.analysis.values import commit_text
from benchmark.records.invalid import why_invalid
from benchmark.report import style
from benchmark.text import duration, with_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmark.analysis.probes import FurtherTable
    from benchmark.records.schema import Record


@dataclass(frozen=True)
class Cell:
    """The contents of one cell.

    Attributes:
        text: as shown.
        sort: the key of sorting, if it is a number.
        href: the target of a link on the text.
        links: words behind the text, each with its target.
        within: the group of rows on the same page that the text links to; see `group`.
        group: the row's group, by name.
        anchor: whether it is the group's first row.
        colour: of the swatch before the text, `#rrggbb`.
        note: small print behind the text.
        struck: struck out.
    """

    text: str
    sort: float | None = None
    href: str = ""
    links: tuple[tuple[str, str], ...] = ()
    within: str = ""
    group: str = ""
    anchor: bool = False
    colour: str = ""
    note: str = ""
    struck: bool = False


@dataclass(frozen=True)
class Table:
    """Column heads and rows of cells; `numeric` columns are right-aligned."""

    heads: tuple[str, ...]
    numeric: frozenset[int]
    rows: tuple[tuple[Cell, ...], ...]


def number_cell(value: float | None, text: Callable[[float], str]) -> Cell:
    """A number as text, sorted by its value; empty if unknown."""
    return Cell("") if value is None else Cell(text(value), float(value))


def entry_cell(record: Record, note: str = "") -> Cell:
    """An entry's name behind a swatch of its colour."""
    return Cell(style.display(record.entry), colour=style.colour(record.entry, record.method), note=note)


def row_cell(row: Row) -> Cell:
    """A row's entry, linked to its runs further down the page."""
    return replace(entry_cell(row.first), within=runs_of(row.first))


def runs_of(record: Record) -> str:
    """The anchor of the runs that make a row with this one."""
    return f"runs-{short_hash({'row': row_key(record)})}"


def _score(values: dict[str, Any], name: str, half_width: float | None) -> Cell:
    mean = values[f"{name}_mean"]
    return Cell(with_interval(mean, half_width), mean)


_LEADERBOARD = (
    *("Rank", "Entry", "n", "Linear top-1 (%)", "Top-5 (%)", "kNN-20 (%)", "kNN-200 (%)", "Beats random init"),
    *("Training", "Total", "Status", "Encoder", "Other encoder", "Backbone", "Notes", "Machine"),
)
_LEADERBOARD_NUMERIC = frozenset({0, 2, 3, 4, 5, 6, 8, 9})


def leaderboard_table(comparison: Comparison, machines: Sequence[str]) -> Table:
    """The rows of one comparison.

    Args:
        comparison: whose rows are shown in their order.
        machines: hardware keys in the order of the report's machines.
    """
    rows = tuple(_leaderboard_cells(comparison, row, machines) for row in comparison.rows)
    return without_empty_columns(Table(_LEADERBOARD, _LEADERBOARD_NUMERIC, rows), machines)


def _leaderboard_cells(comparison: Comparison, row: Row, machines: Sequence[str]) -> tuple[Cell, ...]:
    values = leaderboard_row(comparison, row)
    rank = ranks(comparison).get(id(row))
    n = f"{row.n}" if len(row.completed) == row.n else f"{len(row.completed)} of {row.n}"
    other = values["other_linear_top1_mean"]
    notes = "; ".join(filter(None, ("preliminary" if row.preliminary else "", values["tags"], values["flags"])))
    cells = (
        Cell("") if rank is None else Cell(rank.text, rank.place),
        row_cell(row),
        Cell(n, len(row.completed)),
        _score(values, "linear_top1", row.half_width),
        # Of five classes or fewer it would be 100% by definition.
        _score(values, "linear_top5", values["linear_top5_ci95"]) if row.first.dataset.classes > 5 else Cell(""),
        _score(values, "knn20", values["knn20_ci95"]),
        _score(values, "knn200", values["knn200_ci95"]),
        Cell(values["beats_random_init"]),
        number_cell(values["training_time_mean"], duration),
        number_cell(values["total_time_mean"], duration),
        Cell(row.status),
        Cell(values["encoder"]),
        Cell("" if other is None else f"{values['other_encoder']} {other:.1f}", other),
        Cell(backbone_text(row.first)),
        Cell(notes),
        machine_cell(row, machines),
    )
    # The notes say what was wrong, so they are not struck out.
    return tuple(replace(cell, struck=bool(row.invalid) and cell.text != notes) for cell in cells)


def without_empty_columns(table: Table, machines: Sequence[str]) -> Table:
    """Leaves out columns that are empty in every row, and the machine if there is only one."""
    alone = {"Machine"} if len(machines) < 2 else set()
    kept = [
        i
        for i, head in enumerate(table.heads)
        if head not in alone and (not table.rows or any(row[i].text for row in table.rows))
    ]
    return Table(
        tuple(table.heads[i] for i in kept),
        frozenset(new for new, old in enumerate(kept) if old in table.numeric),
        tuple(tuple(row[i] for i in kept) for row in table.rows),
    )


def targets_table(comparison: Comparison, machines: Sequence[str]) -> Table | None:
    """Median training time to the accuracies that the experiment declared; None without any.

    Args:
        comparison: whose valid rows are shown in their order.
        machines: hardware keys in the order of the report's machines.
    """
    rows = [row for row in comparison.rows if row.invalid is None and row.first.method != "random_init"]
    targets = sorted({target for row in rows for target in targets_of(row)})
    if not any(median_time_to(row, target) is not None for row in rows for target in targets_of(row)):
        return None
    heads = ("Entry", *(f"to {target:g}%" for target in targets), "Times", "Machine")
    cells = [
        (
            row_cell(row),
            *(_time_cell(median_time_to(row, target)) for target in targets),
            Cell("unsafe" if any(UNSAFE_TIMES & set(record.flags) for record in row.records) else ""),
            machine_cell(row, machines),
        )
        for row in rows
    ]
    return without_empty_columns(Table(heads, frozenset(range(1, len(targets) + 1)), tuple(cells)), machines)


def times_cell(row: Row, *bases: Row) -> Cell:
    """Whether the row's times, or those that they are divided by, are unsafe (rules 12 to 14)."""
    if row.unsafe or any(base.unsafe for base in bases):
        return Cell("unsafe")
    return Cell("" if len(row.timed) == len(row.measured) else f"of {len(row.timed)} of {len(row.measured)} runs")


def machine_cell(row: Row, machines: Sequence[str]) -> Cell:
    """The letter of the row's machine."""
    return Cell("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[machines.index(hardware_key(row.first)) % 26])


def _time_cell(seconds: float | None) -> Cell:
    if seconds is None:
        return Cell("")
    return Cell("missed", 1e300) if math.isinf(seconds) else Cell(duration(seconds), seconds)


def further_table(scores: FurtherTable) -> Table:
    """One further protocol on one dataset: a column a score, mean and interval over seeds."""
    rows = []
    for row, summaries in scores.rows:
        cells = [number_cell(summary.mean, partial(_with_width, width=summary.ci95)) for summary in summaries.values()]
        count = max(summary.n for summary in summaries.values())
        rows.append((row_cell(row), Cell(str(count), count), *cells))
    heads = ("Entry", "n", *(name.replace("_", " ") for name in scores.scores))
    return Table(heads, frozenset(range(1, len(heads))), tuple(rows))


def _with_width(mean: float, width: float | None) -> str:
    digits = 1 if abs(mean) >= 2 else 3  # accuracies in percent; R2 and learning rates
    return f"{mean:.{digits}f}" + ("" if width is None else f" ± {width:.{digits}f}")


_RUNS = (
    *("Entry", "Seed", "Budget", "Status", "Linear top-1 (%)", "kNN-200 (%)", "Validation top-1 (%)", "Final loss"),
    *("Training", "Total", "Images/s", "Commit", "Record"),
)
_RUNS_NUMERIC = frozenset({1, 4, 5, 6, 7, 8, 9, 10})


def runs_table(found: Sequence[tuple[Path, Record]], out: Path) -> Table:
    """One row per run, each with a link to its record.

    Args:
        found: record files with their records.
        out: the report's folder, from where the links go.
    """
    rows, seen = [], set()
    for path, record in found:
        group = runs_of(record)
        first, *rest = _run_cells(path, record, out)
        rows.append((replace(first, group=group, anchor=group not in seen), *rest))
        seen.add(group)
    return Table(_RUNS, _RUNS_NUMERIC, tuple(rows))


def _run_cells(path: Path, record: Record, out: Path) -> tuple[Cell, ...]:
    where = relative(path, out)
    values = run_row(record, where)
    cause = f" ({record.cause})" if record.cause else ""
    wrong = why_invalid(record)
    cells = (
        entry_cell(record, note=f"invalid: {wrong}" if wrong else ""),
        Cell(str(record.seed), record.seed),
        Cell(values["budget"]),
        Cell(record.status + cause, note=record.message or ""),
        number_cell(values["linear_top1"], lambda v: f"{v:.2f}"),
        number_cell(values["knn200"], lambda v: f"{v:.2f}"),
        number_cell(values["linear_validation_top1"], lambda v: f"{v:.2f}"),
        number_cell(values["final_loss"], lambda v: f"{v:.4g}"),
        number_cell(values["training_time"], duration),
        number_cell(values["total_time"], duration),
        number_cell(values["images_per_second"], lambda v: f"{v:,.0f}"),
        Cell(commit_text(record)),
        Cell(record.key[:8], href=quote(where)),
    )
    return tuple(replace(cell, struck=wrong is not None) for cell in cells)


def environment_facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    """The environment of the runs of one machine; different values are separated by slashes."""
    facts: dict[str, dict[str, None]] = {}

    def add(name: str, value: object) -> None:
        if value not in (None, ""):
            facts.setdefault(name, {})[str(value)] = None

    for record in records:
        environment = record.environment
        add("Device", f"{environment.devices} x {environment.device_model} ({environment.device})")
        add("Driver", environment.driver)
        add("CPU", f"{environment.cpu_model}, {environment.visible_cores} cores visible, {environment.threads} threads")
        add("Memory", f"{environment.memory_bytes / 2**30:.1f} GiB")
        add("System", f"{environment.platform}, Python {environment.python}")
        add("Packages", ", ".join(f"{name} {version}" for name, version in sorted(environment.packages.items())))
        add("Commit", commit_text(record))
        add("Rules", record.rules_version)
    return [(name, " / ".join(values)) for name, values in facts.items()]
