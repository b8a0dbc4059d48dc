"""Training time relative to CNN-JEPA's with each of its encoders, on one machine (rules 1 and 27)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import hardware_key
from benchmark.analysis.comparison import Comparison, Row, training_cost
from benchmark.analysis.published import encoder_of
from benchmark.analysis.statistics import Summary, summarise
from benchmark.records.budgets import fixed_cost, is_cost_budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.records.schema import Record

ENCODERS = {"sparse": "sparse", "masked_dense": "masked-dense"}  # as recorded, as read


@dataclass(frozen=True)
class RelativeTime:
    """A row's times relative to those of CNN-JEPA's rows (`bases`), by encoder of the latter; None without one."""

    row: Row
    bases: tuple[Row, ...]
    training: dict[str, Summary | None]
    total: dict[str, Summary | None]


def time_ratio(row: Row, base: Row, time: Callable[[Record], float | None] = training_cost) -> Summary | None:
    """A row's time divided by another's, seed by seed; None on different machines or without common seeds."""
    if hardware_key(row.first) != hardware_key(base.first):
        return None
    own, other = ({r.seed: seconds for r in either.timed if (seconds := time(r))} for either in (row, base))
    ratios = summarise([own[seed] / other[seed] for seed in own if seed in other])
    return ratios if ratios.n else None


def cost_ratio(row: Row, base: Row) -> Summary | None:
    """A row's training cost divided by another's; None on different machines or without common seeds.

    Calibrated: the ratio of their steps' seconds, paired within the rounds of the measurement, x that of their steps;
    None without common rounds. Under a budget of calibrated time it is 1 by definition, and the runs' own clocks say
    more; None if they are unsafe.
    """
    if row.price is None or base.price is None or not row.steps or not base.steps:
        return time_ratio(row, base)
    if fixed_cost(row.first) is not None:
        return None if row.unsafe_clock or base.unsafe_clock else time_ratio(row, base)
    per_step = row.price.ratio(base.price)
    if per_step is None:
        return None
    ratio = per_step.times(row.steps / base.steps)
    return Summary(row.price.entry.rounds, ratio.median, None, (ratio.high - ratio.low) / 2)


def total_cost(record: Record) -> float | None:
    """Devices x total time in seconds; None without a ledger."""
    return None if record.ledger is None else record.ledger.total_time * max(1, record.ledger.devices)


def bases(comparison: Comparison) -> dict[tuple[str, str], Row]:
    """CNN-JEPA's rows by clock and encoder; of several the shortest name, so that speed does not decide."""
    by_encoder: dict[tuple[str, str], Row] = {}
    for row in sorted(comparison.rows, key=lambda row: (len(row.first.entry), row.first.entry)):
        known = row.first.method == "cnn_jepa" and encoder_of(row.first) in ENCODERS
        if known and row.invalid is None and row.cost.mean:
            by_encoder.setdefault((row.clock, encoder_of(row.first)), row)
    return by_encoder


def relative_times(comparison: Comparison) -> list[RelativeTime]:
    """Every valid row with training time, by rising time; empty without CNN-JEPA and under a budget of cost."""
    base = bases(comparison)
    if not base or is_cost_budget(comparison.first):
        return []
    rows = [row for row in comparison.rows if row.invalid is None and row.cost.mean]

    def against(row: Row) -> RelativeTime:
        own = {name: base.get((row.clock, name)) for name in ENCODERS}
        training = {name: None if other is None else cost_ratio(row, other) for name, other in own.items()}
        total = {name: None if other is None else time_ratio(row, other, total_cost) for name, other in own.items()}
        return RelativeTime(row, tuple(filter(None, own.values())), training, total)

    return [against(row) for row in sorted(rows, key=lambda row: (row.clock, row.cost.mean or 0.0))]
