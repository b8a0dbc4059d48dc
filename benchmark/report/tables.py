"""Tables as plain cells, for both the HTML and the Markdown page."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import TYPE_CHECKING
from urllib.parse import quote

from benchmark.analysis.calibration import own_clock_text
from benchmark.analysis.columns import row_values
from benchmark.analysis.comparability import backbone_text, hardware_key, short_hash, tags_of
from benchmark.analysis.comparison import UNSAFE_TIMES, Comparison, Row, row_key
from benchmark.analysis.differences import median_time_to, targets_of
from benchmark.analysis.leaderboard_columns import LEADERBOARD, BoardRow
from benchmark.analysis.run_columns import RUNS, RunRow
from benchmark.analysis.tables import relative
from benchmark.analysis.values import commit_text, row_flags
from benchmark.records.invalid import why_invalid
from benchmark.report import style
from benchmark.report.badges import badges
from benchmark.text import duration, with_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from benchmark.analysis.probes import FurtherTable
    from benchmark.records.schema import Record


@dataclass(frozen=True)
class Cell:
    """The contents of one cell.

    Attributes:
        sort: the key of sorting, if it is a number.
        href: the target of a link on the text.
        links: words behind the text, each with its target.
        within: the group of rows on the same page that the text links to; see `group`.
        group: the row's group, by name; `anchor` in the group's first row.
        colour: of the swatch before the text, `#rrggbb`.
        note: small print behind the text.
        badges: words with their explanations; in Markdown the words alone.
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
    badges: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """Column heads and rows of cells; `numeric` columns are right-aligned.

    `folded` columns do not fit: the page shows them on demand, row by row, and Markdown as columns.
    """

    heads: tuple[str, ...]
    numeric: frozenset[int]
    rows: tuple[tuple[Cell, ...], ...]
    folded: frozenset[int] = frozenset()

    @property
    def shown(self) -> list[int]:
        """The places of the columns that are not folded."""
        return [place for place in range(len(self.heads)) if place not in self.folded]


def make_table(
    rows: Sequence[Mapping[str, Cell]], *numeric: str, drop_empty: bool = False, folded: Collection[str] = ()
) -> Table:
    """A table of rows of cells by column head, of which some columns are `numeric` and some `folded`."""
    heads = tuple(rows[0]) if rows else ()
    if drop_empty:
        heads = tuple(head for head in heads if any(row[head].text for row in rows))
    numbers, hidden = (
        frozenset(place for place, head in enumerate(heads) if head in names) for names in (numeric, folded)
    )
    return Table(heads, numbers, tuple(tuple(row[head] for head in heads) for row in rows), hidden)


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


def leaderboard_table(comparison: Comparison, machines: Sequence[str]) -> Table:
    """The rows of one comparison, in their order; `machines` are hardware keys in the report's order."""
    rows = [_leaderboard_cells(comparison, row, machines) for row in comparison.shown]
    numeric = ("Rank", "n", "Linear top-1 (%)", "Top-5 (%)", "kNN-20 (%)", "kNN-200 (%)")
    folded = {*_FOLDED, *({"Training"} if any(row.price is not None for row in comparison.rows) else ())}
    return make_table(rows, *numeric, "Calibrated", "Training", "Own clock", "Total", drop_empty=True, folded=folded)


# Columns of the leaderboard that a page shows on demand, so that it is as wide as the text.
_FOLDED = ("Top-5 (%)", "kNN-200 (%)", "Own clock", "Status", "Encoder", "Other encoder", "Backbone", "Machine")
_BEATS = {"tie": "not significantly"}


def _leaderboard_cells(comparison: Comparison, row: Row, machines: Sequence[str]) -> dict[str, Cell]:
    board_row = BoardRow(comparison, row)
    values, rank = row_values(LEADERBOARD, board_row), board_row.rank
    n = f"{row.n}" if len(row.completed) == row.n else f"{len(row.completed)} of {row.n}"
    other = values["other_linear_top1_mean"]
    words = ["preliminary"] if row.preliminary else []
    words += [tag for record in row.records for tag in tags_of(record)] + row_flags(row)
    words += [row.status] if row.status != "completed" else []
    words = list(dict.fromkeys(words))

    def score(name: str, half_width: float | None) -> Cell:
        mean = values[f"{name}_mean"]
        return Cell(with_interval(mean, half_width), mean)

    cells = {
        "Rank": Cell("") if rank is None else Cell(f"{rank.place} (shared)" if rank.tie else rank.text, rank.place),
        "Entry": row_cell(row),
        "n": Cell(n, len(row.completed)),
        "Linear top-1 (%)": score("linear_top1", row.half_width),
        # Of five classes or fewer it would be 100% by definition.
        "Top-5 (%)": score("linear_top5", values["linear_top5_ci95"]) if row.first.dataset.classes > 5 else Cell(""),
        "kNN-20 (%)": score("knn20", values["knn20_ci95"]),
        "kNN-200 (%)": score("knn200", values["knn200_ci95"]),
        "Above random init": Cell(_BEATS.get(values["beats_random_init"], values["beats_random_init"])),
        "Calibrated": calibrated_cell(row),
        "Training": number_cell(values["training_time_mean"], duration),
        "Own clock": Cell(own_clock_text(row.own_clock_ratio), row.own_clock_ratio),
        "Total": number_cell(values["total_time_mean"], duration),
        "Status": Cell(row.status),
        "Encoder": Cell(values["encoder"]),
        "Other encoder": Cell("" if other is None else f"{values['other_encoder']} {other:.1f}", other),
        "Backbone": Cell(backbone_text(row.first)),
        "Notes": Cell("; ".join(words), badges=badges(words)),
        "Machine": machine_cell(row, machines),
    }
    # The notes say what was wrong, so they are not struck out.
    return {head: replace(cell, struck=bool(row.invalid) and head != "Notes") for head, cell in cells.items()}


def targets_table(comparison: Comparison, machines: Sequence[str]) -> Table | None:
    """Median training time of the valid rows to the accuracies that the experiment declared; None without any."""
    rows = [row for row in comparison.rows if row.invalid is None and row.first.method != "random_init"]
    targets = {target: f"to {target:g}%" for target in sorted({target for row in rows for target in targets_of(row)})}
    if not any(median_time_to(row, target) is not None for row in rows for target in targets_of(row)):
        return None
    cells = [
        {
            "Entry": row_cell(row),
            **{head: _time_cell(median_time_to(row, target)) for target, head in targets.items()},
            "Times": Cell("unsafe" if any(UNSAFE_TIMES & set(record.flags) for record in row.records) else ""),
            "Machine": machine_cell(row, machines),
        }
        for row in rows
    ]
    return make_table(cells, *targets.values(), drop_empty=True)


def times_cell(row: Row, *bases: Row) -> Cell:
    """Whether the row's times, or those that they are divided by, are unsafe (rules 12 to 14).

    Of calibrated times it says why their step cost is in doubt, and how far the runs' own clocks are from them, if far.
    """
    if row.price is not None:
        far = own_clock_text(row.own_clock_ratio)
        flags = ", ".join(row.price.cost.flags)
        texts = (f"step cost: {flags}" if flags else "", f"own clock {far}" if far else "")
        return Cell("; ".join(filter(None, texts)), row.own_clock_ratio)
    if row.unsafe or any(base.unsafe for base in bases):
        return Cell("unsafe")
    return Cell("" if len(row.timed) == len(row.measured) else f"of {len(row.timed)} of {len(row.measured)} runs")


def calibrated_cell(row: Row) -> Cell:
    """The row's calibrated time, with half the width of its interval; empty without one."""
    time = row.calibrated_time
    if time is None:
        return Cell("")
    return Cell(f"{duration(time.median)} ± {duration((time.high - time.low) / 2)}", time.median)


def machine_cell(row: Row, machines: Sequence[str]) -> Cell:
    """The letter of the row's machine; empty if there is only one."""
    key = hardware_key(row.first)  # an encoder trained elsewhere may have been scored on a machine of no run
    return Cell(ascii_uppercase[machines.index(key) % 26] if len(machines) > 1 and key in machines else "")


def _time_cell(seconds: float | None) -> Cell:
    if seconds is None:
        return Cell("")
    return Cell("missed", 1e300) if math.isinf(seconds) else Cell(duration(seconds), seconds)


def further_table(scores: FurtherTable) -> Table:
    """One further protocol on one dataset: a column a score, mean and interval over seeds."""
    rows = []
    for row, summaries in scores.rows:
        # One digit for accuracies in percent, three for R2 and learning rates.
        cells = [
            Cell(with_interval(summary.mean, summary.ci95, 1 if abs(summary.mean or 0.0) >= 2 else 3), summary.mean)
            for summary in summaries.values()
        ]
        count = max(summary.n for summary in summaries.values())
        rows.append((row_cell(row), Cell(str(count), count), *cells))
    heads = ("Entry", "n", *(name.replace("_", " ") for name in scores.scores))
    return Table(heads, frozenset(range(1, len(heads))), tuple(rows))


def runs_table(found: Sequence[tuple[Path, Record]], out: Path) -> Table:
    """One row per run, each with a link from the report's folder to its record."""
    rows = []
    seen: set[str] = set()
    for path, record in found:
        group = runs_of(record)
        cells = _run_cells(path, record, out)
        rows.append({**cells, "Entry": replace(cells["Entry"], group=group, anchor=group not in seen)})
        seen.add(group)
    scores = ("Linear top-1 (%)", "kNN-200 (%)", "Validation top-1 (%)", "Final loss")
    folded = ("kNN-200 (%)", "Total", "Images/s", "Commit")
    return make_table(rows, "Seed", *scores, "Training", "Total", "Images/s", folded=folded)


def _run_cells(path: Path, record: Record, out: Path) -> dict[str, Cell]:
    where = relative(path, out)
    values = row_values(RUNS, RunRow(record, where))
    cause = f" ({record.cause})" if record.cause else ""
    wrong = why_invalid(record)
    cells = {
        "Entry": entry_cell(record, note=f"invalid: {wrong}" if wrong else ""),
        "Seed": Cell(str(record.seed), record.seed),
        "Budget": Cell(values["budget"]),
        "Status": Cell(record.status + cause, note=record.message or ""),
        "Linear top-1 (%)": number_cell(values["linear_top1"], lambda v: f"{v:.2f}"),
        "kNN-200 (%)": number_cell(values["knn200"], lambda v: f"{v:.2f}"),
        "Validation top-1 (%)": number_cell(values["linear_validation_top1"], lambda v: f"{v:.2f}"),
        "Final loss": number_cell(values["final_loss"], lambda v: f"{v:.4g}"),
        "Training": number_cell(values["training_time"], duration),
        "Total": number_cell(values["total_time"], duration),
        "Images/s": number_cell(values["images_per_second"], lambda v: f"{v:,.0f}"),
        "Commit": Cell(commit_text(record)),
        "Record": Cell(record.key[:8], href=quote(where)),
    }
    return {head: replace(cell, struck=wrong is not None) for head, cell in cells.items()}


def environment_facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    """The environment of the runs of one machine; different values are separated by slashes."""
    facts: dict[str, dict[str, None]] = {}
    for record in records:
        machine = record.environment
        packages = ", ".join(f"{name} {version}" for name, version in sorted(machine.packages.items()))
        values = {
            "Device": f"{machine.devices} x {machine.device_model} ({machine.device})",
            "Driver": machine.driver,
            "CPU": f"{machine.cpu_model}, {machine.visible_cores} cores visible, {machine.threads} threads",
            "Memory": f"{machine.memory_bytes / 2**30:.1f} GiB",
            "System": f"{machine.platform}, Python {machine.python}",
            "Packages": packages,
            "Commit": commit_text(record),
            "Rules": record.rules_version,
        }
        for name, value in values.items():
            if value:
                facts.setdefault(name, {})[value] = None
    return [(name, " / ".join(texts)) for name, texts in facts.items()]
