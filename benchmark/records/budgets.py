"""Budgets in records: their kinds, in words, and whether what one buys depends on the hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.records.schema import Record

# What these buy depends on the hardware; for FLOPs, because devices compute convolutions differently.
HARDWARE_BUDGETS = ("wall_clock", "device_hours", "flops")
# What these buy, a step-cost record says; the same on every machine.
CALIBRATED_BUDGETS = ("calibrated_time", "calibrated_device_hours")
_BUDGET_UNITS = {
    "epochs": "epochs",
    "steps": "steps",
    "samples": "samples",
    "wall_clock": "s of training",
    "device_hours": "device-hours",
    "calibrated_time": "s of calibrated time",
    "calibrated_device_hours": "calibrated device-hours",
    "flops": "FLOPs",
}


def budget_of(record: Record) -> dict[str, Any]:
    """The budget's limits that are set, by unit.

    Of a calibrated one its limit and the key of its step cost: its steps differ from entry to entry.
    """
    budget = record.config.get("budget")
    if not isinstance(budget, dict):
        return {}
    left_out = ("steps",) if any(name in budget for name in CALIBRATED_BUDGETS) else ()
    # 10.0 as 10: the same budget, however it was written.
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in budget.items()
        if value is not None and name not in left_out
    }


def limit_text(kind: str, limit: object) -> str:
    """A limit in words, such as `10 epochs`."""
    if isinstance(limit, float) and limit.is_integer():
        limit = int(limit)
    unit = _BUDGET_UNITS.get(kind)
    return f"{limit} {unit[:-1] if unit == 'epochs' and limit == 1 else unit}" if unit else f"{kind}={limit}"


def unit_text(kind: str) -> str:
    """What a limit of a kind is counted in, such as `epochs` or `s of training`."""
    return _BUDGET_UNITS.get(kind, kind)


def budget_text(record: Record) -> str:
    """The budget in words, such as `10 epochs`; empty where the record has none."""
    parts: list[str] = []
    for name, value in budget_of(record).items():
        if name == "step_cost":  # budgets by different records are different budgets
            parts[-1] += f" by step cost {str(value)[:8]}"
            continue
        parts.append(limit_text(name, value))
    return ", ".join(parts)


def budget_size(record: Record) -> float:
    """A number that orders the rungs of a ladder; 0 where the budget is no number."""
    values = list(budget_of(record).values())
    return float(values[0]) if values and isinstance(values[0], (int, float)) else 0.0


def budget_kind(record: Record) -> str:
    """What the budget limits, such as `epochs` or `wall_clock`; empty where the record has none."""
    return next(iter(budget_of(record)), "")


def has_time_budget(record: Record) -> bool:
    """Whether what the budget buys depends on the hardware."""
    return any(name in HARDWARE_BUDGETS for name in budget_of(record))


def is_cost_budget(record: Record) -> bool:
    """Whether the budget is one of cost, under which entries differ in how many images they see."""
    return has_time_budget(record) or budget_kind(record) in CALIBRATED_BUDGETS


def fixed_cost(record: Record) -> float | None:
    """The training cost in device-seconds that a budget of time sets, calibrated or not; None under any other.

    A calibrated time is that of one step-cost record for all entries, on however many devices a run was trained.
    """
    kind, limit = budget_kind(record), budget_size(record)
    if kind in ("device_hours", "calibrated_device_hours"):
        return 3600.0 * limit
    if kind == "calibrated_time":
        return limit
    return limit * max(1, record.environment.devices) if kind == "wall_clock" else None
