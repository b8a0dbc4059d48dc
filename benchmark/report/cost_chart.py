"""The data of the page's interactive chart of cost and accuracy: every row of a ladder, on every axis of cost."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from benchmark.analysis.calibration import NO_PRICES, Price, hardware_names, preference, price_of
from benchmark.analysis.columns import attribute
from benchmark.analysis.comparability import backbone_text, grouped, hardware_key, is_vit
from benchmark.analysis.comparison import MIN_RESULT, REFERENCES, Row
from benchmark.analysis.fronts import compared_cost, own_time_limit
from benchmark.records.budgets import budget_text, is_cost_budget
from benchmark.records.keys import EXTERNAL
from benchmark.report import style
from benchmark.report.canvas import cost_unit, ladders
from benchmark.report.summary import name_of
from benchmark.report.tables import runs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmark.analysis.calibration import Prices
    from benchmark.analysis.comparison import Comparison
    from benchmark.analysis.statistics import Summary

Place = tuple[float, float | None, bool]  # a cost, half its interval (None: not known), and whether it is unsafe


@dataclass(frozen=True)
class _Axis:
    """An axis of cost: its name, what a point's words call the cost, and each row's cost, None where it has none."""

    name: str
    unit: str
    place: Callable[[Row], Place | None]


def chart_data(rungs: Sequence[Comparison], machines: Sequence[str], prices: Prices = NO_PRICES) -> str:
    """What the chart's script reads, as JSON: axes, rows and their costs; empty if fewer than two rows trained.

    Rows without a result are listed, too, so that the page can name them. `machines` are hardware keys in the report's
    order.
    """
    rows = [row for rung in rungs for row in rung.rows if row.first.method != EXTERNAL and row.invalid is None]
    paid = [row for row in rows if _trained(row)]
    if len(paid) < 2:
        return ""
    axes = [axis for axis in _axes(paid, machines, prices) if sum(axis.place(row) is not None for row in paid) > 1]
    if not axes:
        return ""
    several = len({budget_text(row.first) for row in paid}) > 1
    budgets = grouped(paid, lambda row: _group(row))
    lines = {id(row): n for n, line in enumerate(x for part in budgets.values() for x in ladders(part)) for row in line}
    content = {
        "axes": [{"name": axis.name, "unit": axis.unit} for axis in axes],
        "rows": [_row(row, axes, lines, several=several) for row in rows],
    }
    return json.dumps(content, separators=(",", ":"))


def _trained(row: Row) -> bool:
    return row.accuracy.mean is not None and row.first.method != "random_init" and bool(row.own_cost.mean)


def _group(row: Row) -> str:
    """What the budgets make equal: rows of the two groups are never joined, and compete apart, as in the figure."""
    return "Same cost" if is_cost_budget(row.first) else "Same data"


def _row(row: Row, axes: Sequence[_Axis], lines: Mapping[int, int], *, several: bool) -> dict[str, Any]:
    """What the chart knows of a row; `x` has its cost on each axis."""
    first, budget = row.first, budget_text(row.first)
    interval = row.accuracy.n >= MIN_RESULT
    return {
        "name": name_of(row),
        "budget": budget if several and budget else "",
        "group": _group(row),
        "network": backbone_text(first),
        "kind": "ViT" if is_vit(first) else "CNN",
        "colour": style.colour(first.entry, first.method),
        "marker": style.marker(first),
        "runs": runs_of(first),
        "n": len(row.measured),
        "status": row.status,
        "y": row.accuracy.mean,
        "half": row.accuracy.ci95 if interval else row.sampling95,
        "interval": interval,
        "untrained": first.method == "random_init",
        "competes": first.method not in REFERENCES and bool(row.completed),
        "line": lines.get(id(row), -1),
        "x": [axis.place(row) if _trained(row) else None for axis in axes],
    }


def _axes(paid: Sequence[Row], machines: Sequence[str], prices: Prices) -> list[_Axis]:
    """The axes of these rows: time by each clock, device-hours, FLOPs, images, and all measured hardware."""
    axes: list[_Axis] = []
    if any(row.price is not None for row in paid):
        axes += _timed("Calibrated", [row for row in paid if row.price is not None], lambda row: row.price is not None)
    own = [replace(row, price=None) for row in paid]
    for number, machine in enumerate(machines):
        there = [row for row in own if hardware_key(row.first) == machine]
        where = f", machine {ascii_uppercase[number % 26]}" if len(machines) > 1 else ""
        axes += _timed("Own clock:", there, partial(_ran_on, machine), where)
    flops, samples = attribute("ledger.flops"), attribute("ledger.samples")
    axes.append(_Axis("FLOPs of training", "PFLOP", lambda row: _mean(row.summary(flops), 1e15)))
    axes.append(_Axis("Images seen in training", "images", lambda row: _mean(row.summary(samples), 1.0)))
    return [*axes, *_hardware(paid, prices)]


def _ran_on(machine: str, row: Row) -> bool:
    return hardware_key(row.first) == machine


def _timed(word: str, rows: Sequence[Row], belongs: Callable[[Row], bool], where: str = "") -> list[_Axis]:
    """Training time and device-hours by one clock."""
    calibrated = word == "Calibrated"
    costs = [row.cost.mean or 0.0 for row in rows]
    unit, label = cost_unit(costs)
    short = label[label.rindex("(") + 1 : -1].removeprefix("device-")

    def place(row: Row, scale: float, *, per_device: bool) -> Place | None:
        if not belongs(row):
            return None
        clocked = row if calibrated else replace(row, price=None)
        cost = clocked.cost
        if cost.mean is None:
            return None
        known = calibrated or (cost.n >= MIN_RESULT and own_time_limit(row) is None)
        devices = 1
        if per_device:
            devices = row.price.cost.hardware.devices if calibrated and row.price else row.first.environment.devices
        divisor = scale * max(1, devices)
        half = cost.ci95 / divisor if known and cost.ci95 is not None and not clocked.unsafe else None
        # Under a budget of time the limit, as on the fronts: the length of a last step decides nothing.
        return compared_cost(clocked) / divisor, half, clocked.unsafe

    return [
        _Axis(f"{word} training time{where}", short, lambda row: place(row, unit, per_device=True)),
        _Axis(f"{word} device-hours{where}", "device-hours", lambda row: place(row, 3600.0, per_device=False)),
    ]


def _hardware(paid: Sequence[Row], prices: Prices) -> list[_Axis]:
    """Device-hours on each kind of measured hardware, where there are several; by the newest record without flags."""
    kinds = grouped(prices.costs, lambda cost: cost.hardware.key)
    if len(kinds) < 2:
        return []
    names = hardware_names(prices.costs)

    def priced(row: Row, key: str) -> Price | None:
        found = [(cost, price) for cost in kinds[key] if (price := price_of(cost, row.first)) is not None]
        return max(found, key=lambda pair: preference(pair[0]))[1] if found else None

    def place(key: str, row: Row) -> Place | None:
        price = priced(row, key)
        if price is None or row.steps is None:
            return None
        hours = price.device_seconds(row.steps).times(1 / 3600)
        return hours.median, (hours.high - hours.low) / 2, bool(price.cost.flags)

    ordered = sorted(kinds, key=lambda key: names[key])
    return [_Axis(f"Device-hours on {names[key]}", "device-hours", partial(place, key)) for key in ordered]


def _mean(summary: Summary, scale: float) -> Place | None:
    return None if not summary.mean else (summary.mean / scale, None, False)
