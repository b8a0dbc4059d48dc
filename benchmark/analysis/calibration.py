"""Calibrated cost: steps of a run x the cost of a step, from the step-cost record that prices a comparison.

A run's own clock includes whatever else its machine did meanwhile. A step cost is measured with all entries interleaved
(`bench cost`), so that costs of entries with one record may be compared, wherever and whenever their runs were made.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import grouped, torch_release
from benchmark.errors import UserError
from benchmark.records.budgets import budget_of
from benchmark.records.estimates import paired, ratio_interval
from benchmark.records.keys import step_key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from benchmark.records.cost import EntryCost, Hardware, Interval, StepCost
    from benchmark.records.schema import Record

DIFFERS = 0.1  # an own clock that is farther from the calibrated time is pointed out


@dataclass(frozen=True)
class Price:
    """What a step of some runs costs: their entry in a step-cost record."""

    cost: StepCost
    entry: EntryCost

    @property
    def short_key(self) -> str:
        """12 hex digits of the record's key."""
        return self.cost.key[:12]

    def seconds(self, steps: float) -> Interval:
        """The time of so many steps."""
        assert self.entry.seconds_per_step is not None  # or it would be no price
        return self.entry.seconds_per_step.times(steps)

    def device_seconds(self, steps: float) -> Interval:
        """Devices x the time of so many steps."""
        return self.seconds(steps).times(self.cost.hardware.devices)

    def joules(self, steps: float) -> Interval | None:
        """The energy of so many steps; None if it was not measured."""
        energy = self.entry.joules_per_step
        return None if energy is None else energy.times(steps)

    def own_clock_ratio(self, records: Sequence[Record]) -> float | None:
        """Mean of training time by the runs' own clocks / calibrated time; None unless all ran on this hardware."""
        ledgers = [record.ledger for record in records if record.ledger is not None and record.ledger.steps]
        if not ledgers or not all(ran_on(self.cost.hardware, record) for record in records):
            return None
        return statistics.fmean(each.training_time / self.seconds(each.steps).median for each in ledgers)

    def ratio(self, base: Price) -> Interval | None:
        """Seconds per step relative to another entry's of the same record, paired within the rounds that count."""
        per_image, _ = paired(self.entry, base.entry, self.cost.hardware.visible_cores)
        scale = self.entry.batch_size / base.entry.batch_size
        return ratio_interval(per_image).times(scale) if per_image else None


def own_clock_text(ratio: float | None) -> str:
    """How far the runs' own clocks are from the calibrated time, such as `+23%`; empty if that is not far."""
    return "" if ratio is None or abs(ratio - 1) <= DIFFERS else f"{100 * (ratio - 1):+.0f}%"


def price_of(cost: StepCost, record: Record) -> Price | None:
    """What a step of a run costs by a step-cost record; None if the record has no such entry."""
    key = step_key_of(record)
    entry = cost.prices.get(key) if key is not None else None
    return None if entry is None else Price(cost, entry)


def ran_on(hardware: Hardware, record: Record) -> bool:
    """Whether a run was made on hardware of this kind. Records without instructions do not tell AVX2 from AVX-512."""
    machine = record.environment
    fields = {
        "device": machine.device,
        "device_model": machine.device_model,
        "devices": machine.devices,
        "cpu_model": machine.cpu_model,
        "visible_cores": machine.visible_cores,
        "torch": torch_release(record),
        "precision": str(record.config.get("precision")),
    }
    if machine.device == "cpu":  # as in the hardware's key
        fields["threads"] = machine.threads
        if machine.instructions is not None:
            fields["instructions"] = machine.instructions
    return all(getattr(hardware, name) == value for name, value in fields.items())


def hardware_names(costs: Collection[StepCost]) -> dict[str, str]:
    """A name for each kind of hardware, by its key: with the torch version, then the key, where another has it, too."""
    kinds = {cost.hardware.key: cost.hardware for cost in costs}
    names = {key: hardware.name for key, hardware in kinds.items()}
    for longer in (
        {key: f"{kind.name}-torch-{kind.torch.replace('.', '-')}" for key, kind in kinds.items()},
        {key: f"{kind.name}-{key[:4]}" for key, kind in kinds.items()},
    ):
        counts = Counter(names.values())
        names = {key: longer[key] if counts[name] > 1 else name for key, name in names.items()}
    return names


@dataclass(frozen=True)
class Prices:
    """Step-cost records, and the key of the hardware that costs are wanted for; None for that of the runs."""

    costs: tuple[StepCost, ...] = ()
    wish: str | None = None

    def on(self, name: str) -> Prices:
        """The same records, for hardware of one name.

        Raises:
            UserError: no record is of such hardware.
        """
        if not self.costs:
            raise UserError(
                f"--hardware is '{name}', but there is no step-cost record; `bench cost FOLDER` makes one on the "
                "machine where it runs"
            )
        keys = {text: key for key, text in hardware_names(self.costs).items()}
        if name not in keys:
            nearest = sorted(keys, key=lambda text: (-SequenceMatcher(None, name, text).ratio(), text))
            raise UserError(f"--hardware is '{name}', which was not measured; measured: {', '.join(nearest)}")
        return Prices(self.costs, keys[name])

    def choose(self, records: Sequence[Record]) -> StepCost | None:
        """The record that prices all of some runs, so that their costs are of one measurement; None without one.

        Of the wished hardware. Without a wish: the record that set the budgets of some of the runs; else one of the
        runs' precision, and of the hardware that most of the runs were made on, or of other hardware if no second kind
        covers the runs. Of several records of one kind one without flags, then the newest.
        """
        fitting = [cost for cost in self._wished if not lacking(cost, records)]
        if self.wish is None:
            fitting = [cost for cost in fitting if all(_of_its_precision(cost, record) for record in records)]
            named = {budget_of(record).get("step_cost") for record in records}
            if theirs := [cost for cost in fitting if cost.key in named]:
                return max(theirs, key=preference)
        kinds = grouped(fitting, lambda c: c.hardware.key)
        runs = {key: sum(ran_on(costs[0].hardware, record) for record in records) for key, costs in kinds.items()}
        if not records or not kinds or (not any(runs.values()) and len(kinds) > 1):
            return None
        best = max(runs.values())
        return max((cost for key in kinds if runs[key] == best for cost in kinds[key]), key=preference)

    def nearly(self, records: Sequence[Record]) -> tuple[StepCost, list[str]] | None:
        """The record that lacks the fewest entries of some runs, and their names; None if no record prices any."""
        missing = [(cost, lacking(cost, records)) for cost in self._wished]
        entries = {record.entry for record in records}
        useful = [(cost, names) for cost, names in missing if set(names) < entries or cost.hardware.key == self.wish]
        return max(useful, key=lambda pair: (-len(pair[1]), pair[0].ended), default=None)

    @property
    def _wished(self) -> list[StepCost]:
        return [cost for cost in self.costs if self.wish in (None, cost.hardware.key)]


NO_PRICES = Prices()


def preference(cost: StepCost) -> tuple[bool, str]:
    """What orders records of one kind: those without flags come last, and of these the newest."""
    return not cost.flags, cost.ended


def _of_its_precision(cost: StepCost, record: Record) -> bool:
    return cost.hardware.precision == str(record.config.get("precision"))


def lacking(cost: StepCost, records: Sequence[Record]) -> list[str]:
    """The entries among some runs that a step-cost record does not price."""
    priced = cost.prices
    return list(dict.fromkeys(record.entry for record in records if step_key_of(record) not in priced))
