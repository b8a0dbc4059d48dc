"""Tables of cost: time, throughput, memory and power of each entry, and its time relative to CNN-JEPA's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.analysis.columns import row_values
from benchmark.analysis.leaderboard_columns import LEADERBOARD, BoardRow
from benchmark.analysis.published import DESCRIPTION, REPOSITORY, on_published_axes, published, published_of
from benchmark.analysis.relative import ENCODERS, relative_times, total_cost
from benchmark.report.tables import (
    Cell,
    Table,
    calibrated_cell,
    machine_cell,
    make_table,
    number_cell,
    row_cell,
    times_cell,
)
from benchmark.text import duration, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmark.analysis.comparison import Comparison, Row
    from benchmark.analysis.relative import RelativeTime
    from benchmark.analysis.statistics import Summary
    from benchmark.records.schema import Record


def cost_table(comparison: Comparison, machines: Sequence[str]) -> Table | None:
    """Time, throughput, FLOPs, memory and power of the valid rows by rising cost; None if no row has any."""
    rows = [row for row in comparison.rows if row.invalid is None and row.cost.mean]
    if not rows:
        return None
    rows.sort(key=lambda row: row.cost.mean or 0.0)
    cells = [_cost_cells(row, row_values(LEADERBOARD, BoardRow(comparison, row)), machines) for row in rows]
    own_clock = {"Training"} if comparison.step_cost is not None else set()
    folded = {"Total", "Energy", "Data wait", "Power", "Machine", "Parameters"} | own_clock
    return make_table(cells, *(cells[0].keys() - {"Entry", "Times", "Machine"}), drop_empty=True, folded=folded)


def _cost_cells(row: Row, values: dict[str, Any], machines: Sequence[str]) -> dict[str, Cell]:
    width = values["training_time_ci95"]
    interval = "" if width is None else f" ± {duration(width)}"
    return {
        "Entry": row_cell(row),
        "Calibrated": calibrated_cell(row),
        "Device-hours": number_cell(values["calibrated_device_hours_mean"], lambda v: f"{v:.3g}"),
        "Energy": number_cell(values["calibrated_joules_mean"], lambda v: f"{v / 1e3:,.3g} kJ"),
        "Training": number_cell(values["training_time_mean"], lambda v: duration(v) + interval),
        "Total": number_cell(values["total_time_mean"], duration),
        "Images/s": number_cell(values["images_per_second_mean"], lambda v: f"{v:,.0f}"),
        "Data wait": number_cell(values["data_wait_share"], lambda v: f"{100 * v:.1f}%"),
        "MFLOPs/image": number_cell(values["flops_per_image"], lambda v: f"{v / 1e6:,.0f}"),
        "Memory": number_cell(values["peak_memory_mib"], lambda v: f"{v:,.0f} MiB"),
        "Power": number_cell(values["training_watts_mean"], lambda v: f"{v:,.0f} W"),
        "Parameters": number_cell(values["parameters"], lambda v: f"{v / 1e6:.2f} M"),
        "Times": times_cell(row),
        "Machine": machine_cell(row, machines),
    }


def relative_table(comparison: Comparison, machines: Sequence[str]) -> Table | None:
    """Training and total time relative to CNN-JEPA's with each encoder; on ImageNet-100, next to published ratios.

    Calibrated, there is no total: probes and set-up are no steps. None under a budget of cost and without a row of
    CNN-JEPA.
    """
    rows = relative_times(comparison)
    if len(rows) < 2:
        return None
    encoders = {name: text for name, text in ENCODERS.items() if any(row.training[name] is not None for row in rows)}
    priced = comparison.step_cost is not None
    theirs = on_published_axes(comparison.first)
    cells = [
        {
            "Entry": row_cell(times.row),
            "Calibrated" if priced else "Training": number_cell(times.row.cost.mean, duration),
            **{f"÷ {text}": _ratio(times.training[name]) for name, text in encoders.items()},
            **({} if priced else _totals(times, encoders)),
            **({"Published": _published_cell(times.row.first, REPOSITORY)} if theirs else {}),
            **({"Published elsewhere": _published_cell(times.row.first, DESCRIPTION)} if theirs else {}),
            "Times": times_cell(times.row, *times.bases),
            "Machine": machine_cell(times.row, machines),
        }
        for times in rows
    ]
    return make_table(cells, *(cells[0].keys() - {"Entry", "Times", "Machine"}), drop_empty=True)


def _totals(times: RelativeTime, encoders: Mapping[str, str]) -> dict[str, Cell]:
    total = number_cell(times.row.time_summary(total_cost).mean, duration)
    return {"Total": total, **{f"total ÷ {text}": _ratio(times.total[name]) for name, text in encoders.items()}}


def _ratio(ratio: Summary | None) -> Cell:
    return Cell("") if ratio is None else Cell(with_interval(ratio.mean, ratio.ci95, digits=2), ratio.mean)


def _published_cell(record: Record, name: str) -> Cell:
    """The ratios that a source published for runs like this one, with what differs from its run of CNN-JEPA."""
    source, ratios = published()[name], []
    for run in (runs := published_of(record, name)):
        notes = [run.backbone] if run.vit else []
        notes += [f"{run.epochs} epochs against {source.base.epochs}"] if run.epochs != source.base.epochs else []
        ratios.append(f"{source.ratio(run):.2f}" + (f" ({', '.join(notes)})" if notes else ""))
    return Cell(", ".join(ratios), source.ratio(runs[0]) if runs else None)
