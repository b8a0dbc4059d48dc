"""Tables of cost: time, throughput, memory and power of each entry, and its time relative to CNN-JEPA's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.analysis.published import DESCRIPTION, REPOSITORY, PublishedRun, PublishedSource, published, published_of
from benchmark.analysis.relative import ENCODERS, RelativeTime, relative_times, total_cost
from benchmark.analysis.tables import leaderboard_row
from benchmark.report.tables import Cell, Table, machine_cell, number_cell, row_cell, times_cell, without_empty_columns
from benchmark.text import duration, with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.comparison import Comparison, Row
    from benchmark.analysis.statistics import Summary
    from benchmark.records.schema import Record

_COSTS = (
    *("Entry", "Training", "Total", "Images/s", "Data wait", "MFLOPs/image", "Memory", "Power", "Parameters"),
    *("Times", "Machine"),
)


def cost_table(comparison: Comparison, machines: Sequence[str]) -> Table | None:
    """Time, throughput, FLOPs, memory and power of each row; None if no row has training time.

    Args:
        comparison: its valid rows with training time are shown by rising time.
        machines: hardware keys in the order of the report's machines.
    """
    rows = [row for row in comparison.rows if row.invalid is None and row.cost.mean]
    if not rows:
        return None
    rows.sort(key=lambda row: row.cost.mean or 0.0)
    cells = tuple(_cost_cells(row, leaderboard_row(comparison, row), machines) for row in rows)
    return without_empty_columns(Table(_COSTS, frozenset(range(1, 9)), cells), machines)


def _cost_cells(row: Row, values: dict[str, Any], machines: Sequence[str]) -> tuple[Cell, ...]:
    width = values["training_time_ci95"]
    return (
        row_cell(row),
        number_cell(
            values["training_time_mean"], lambda v: duration(v) + ("" if width is None else f" ± {duration(width)}")
        ),
        number_cell(values["total_time_mean"], duration),
        number_cell(values["images_per_second_mean"], lambda v: f"{v:,.0f}"),
        number_cell(values["data_wait_share"], lambda v: f"{100 * v:.1f}%"),
        number_cell(values["flops_per_image"], lambda v: f"{v / 1e6:,.0f}"),
        number_cell(values["peak_memory_mib"], lambda v: f"{v:,.0f} MiB"),
        number_cell(values["training_watts_mean"], lambda v: f"{v:,.0f} W"),
        number_cell(values["parameters"], lambda v: f"{v / 1e6:.2f} M"),
        times_cell(row),
        machine_cell(row, machines),
    )


def relative_table(comparison: Comparison, machines: Sequence[str]) -> Table | None:
    """Training and total time relative to CNN-JEPA's with each encoder, next to published ratios.

    Args:
        comparison: the result is None under a time budget and without a row of CNN-JEPA.
        machines: hardware keys in the order of the report's machines.
    """
    rows = relative_times(comparison)
    if len(rows) < 2:
        return None
    encoders = [name for name in ENCODERS if any(row.training[name] is not None for row in rows)]
    heads = ["Entry", "Training"]
    heads += [f"÷ {ENCODERS[name]}" for name in encoders]
    heads += ["Total", *(f"total ÷ {ENCODERS[name]}" for name in encoders)]
    heads += ["Published", "Published elsewhere", "Times", "Machine"]
    cells = tuple(_relative_cells(row, encoders, machines) for row in rows)
    numeric = frozenset(range(1, len(heads) - 2))
    return without_empty_columns(Table(tuple(heads), numeric, cells), machines)


def _relative_cells(times: RelativeTime, encoders: Sequence[str], machines: Sequence[str]) -> tuple[Cell, ...]:
    first = times.row.first
    return (
        row_cell(times.row),
        number_cell(times.row.cost.mean, duration),
        *(_ratio(times.training[name]) for name in encoders),
        number_cell(times.row.time_summary(total_cost).mean, duration),
        *(_ratio(times.total[name]) for name in encoders),
        _published_cell(first, REPOSITORY),
        _published_cell(first, DESCRIPTION),
        times_cell(times.row, *times.bases),
        machine_cell(times.row, machines),
    )


def _ratio(ratio: Summary | None) -> Cell:
    return Cell("") if ratio is None else Cell(with_interval(ratio.mean, ratio.ci95, digits=2), ratio.mean)


def _published_cell(record: Record, name: str) -> Cell:
    """The ratios that a source published for runs like this one."""
    source, runs = published()[name], published_of(record, name)
    if not runs:
        return Cell("")
    return Cell(", ".join(_published_ratio(source, run) for run in runs), source.ratio(runs[0]))


def _published_ratio(source: PublishedSource, run: PublishedRun) -> str:
    """The ratio, with the network and the epochs where they are not those of CNN-JEPA's run."""
    notes = [run.backbone] if run.vit else []
    notes += [f"{run.epochs} epochs against {source.base.epochs}"] if run.epochs != source.base.epochs else []
    return f"{source.ratio(run):.2f}" + (f" ({', '.join(notes)})" if notes else "")
