"""Step costs in a report: the sentences that name the record behind calibrated costs, and the table of all hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.analysis.calibration import Price, hardware_names, lacking, preference, price_of
from benchmark.analysis.comparability import grouped
from benchmark.analysis.comparison import Comparison, Row, to_price
from benchmark.analysis.ladders import ladders
from benchmark.records.budgets import budget_text
from benchmark.records.keys import step_key_of
from benchmark.report import style
from benchmark.report.tables import Cell, Table, row_cell
from benchmark.text import listing, with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.calibration import Prices
    from benchmark.records.cost import StepCost

CALIBRATED = (
    "Calibrated time, device-hours and energy are steps x those of a step, from the step-cost record that the limits "
    "name; the ± is half the 95% interval of that measurement. Training, total, images/s and waits are the runs' own "
    "clocks; the column of times says where these differ from the calibrated time by more than 10% on the same "
    "hardware."
)
_HARDWARE = (
    "Seconds per step relative to a reference entry, paired within the rounds of the measurement, with half the 95% "
    "interval; the milliseconds of a step; the device-hours of a run under the budget of the first table. All columns: "
    "costs.csv. Names for --hardware: {names}."
)


def sentences(comparisons: Sequence[Comparison], prices: Prices) -> list[str]:
    """Which record prices each ladder, or why none does; empty without any record."""
    return [_sentence(rungs, prices) for rungs in ladders(comparisons) if prices.costs and to_price(_rows(rungs))]


def _sentence(rungs: Sequence[Comparison], prices: Prices) -> str:
    where = f"{listing(dict.fromkeys(budget_text(rung.first) for rung in rungs))} on {rungs[0].first.dataset.name}"
    cost = next(filter(None, (rung.step_cost for rung in rungs)), None)
    if cost is not None:
        doubts = f" Its seconds are in doubt: {listing(cost.flags)}." if cost.flags else ""
        return (
            f"Costs of {where} are calibrated: steps x seconds per step, measured on {cost.hardware.text} (step-cost "
            f"record {cost.key[:12]}, {cost.rounds} rounds, {cost.ended[:10]}).{doubts}"
        )
    records = to_price(_rows(rungs))
    own = f"Costs of {where} are those of the runs' own clocks"
    nearly = prices.nearly(records)
    if nearly is None:
        return f"{own}: no step-cost record has these entries in enough rounds."
    measured, missing = nearly
    if missing:
        return (
            f"{own}: the step-cost record of {measured.hardware.text} ({measured.key[:12]}) lacks "
            f"{listing(map(style.display, missing))}."
        )
    names = hardware_names(prices.costs)
    fitting = [names[cost.hardware.key] for cost in prices.costs if not lacking(cost, records)]
    return (
        f"{own}: none was measured on their hardware and in their precision; --hardware chooses "
        f"{' or '.join(sorted(set(fitting)))}."
    )


def hardware_note(prices: Prices) -> str:
    """How to read the table of all hardware, and the names that `--hardware` takes."""
    return _HARDWARE.format(names=", ".join(sorted(hardware_names(prices.costs).values())))


def hardware_table(comparison: Comparison, prices: Prices) -> Table | None:
    """The cost of every entry on every measured hardware; None if no record prices an entry of the comparison.

    A cell has the ratio to the record's reference entry; below, the milliseconds of a step and the device-hours of a
    run. Of several records of one kind of hardware it is the one with the most of these entries, then one without
    flags, then the newest.
    """
    # An entry that ran on several machines costs the same.
    trained = [row for row in reversed(comparison.rows) if to_price([row])]
    rows = list({(row.first.entry, step_key_of(row.first)): row for row in trained}.values())[::-1]
    columns = []
    for costs in grouped(prices.costs, lambda cost: cost.hardware.key).values():
        best = max(
            costs, key=lambda cost: (sum(price_of(cost, row.first) is not None for row in rows), preference(cost))
        )
        if any(price_of(best, row.first) for row in rows):
            columns.append(best)
    if not columns:
        return None
    columns.sort(key=lambda cost: (cost.hardware.device_model, cost.hardware.text))
    texts = [cost.hardware.text for cost in columns]
    heads = ("Entry", *(_head(cost, alone=texts.count(cost.hardware.text) == 1) for cost in columns))
    cells = tuple((row_cell(row), *(_cell(price_of(cost, row.first), row) for cost in columns)) for row in rows)
    return Table(heads, frozenset(range(1, len(heads))), cells)


def _head(cost: StepCost, *, alone: bool) -> str:
    machine = "" if alone else f", {cost.hardware.cpu_model}, {cost.hardware.visible_cores} cores"
    return f"{cost.hardware.text}{machine} (÷ {style.display(cost.reference)})"


def _cell(price: Price | None, row: Row) -> Cell:
    if price is None or price.entry.seconds_per_step is None:
        return Cell("not measured")
    seconds, ratio = price.entry.seconds_per_step.median, price.entry.ratio
    hours = "" if row.steps is None else f", {price.device_seconds(row.steps).median / 3600:.3g} device-hours"
    note = f"{1e3 * seconds:.3g} ms/step{hours}"
    if ratio is None:
        return Cell("", seconds, note=note)
    return Cell(with_interval(ratio.median, (ratio.high - ratio.low) / 2, 2), ratio.median, note=note)


def _rows(rungs: Sequence[Comparison]) -> list[Row]:
    return [row for rung in rungs for row in rung.rows]
