"""Which step-cost record prices the entries of an experiment: for budgets of calibrated cost, and for estimates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from benchmark.errors import UserError
from benchmark.files.disk import writing
from benchmark.records.budgets import budget_of
from benchmark.records.cost import COSTS, cost_path, find_costs, read_cost, write_cost
from benchmark.records.folder import find_records, read_all
from benchmark.text import listing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.cost import EntryCost, Hardware, Interval, StepCost


@dataclass(frozen=True)
class CostSource:
    """Where step costs are looked for.

    Attributes:
        path: a record, or a folder of some.
        advice: what to do where one is missing.
        results: the experiment's folder: records that finished runs there name are preferred. None where there is none.
    """

    path: Path
    advice: str
    results: Path | None = None

    def named(self) -> set[str]:
        """The keys of the records that set the budgets of runs in the results."""
        found = [] if self.results is None else find_records([self.results])[0]
        return {str(key) for _, record in found if (key := budget_of(record).get("step_cost"))}

    def check(self) -> None:
        """Raises a `UserError` where there is no record at all."""
        found, problems = find_price_records(self.path)
        if not found:
            raise self.missing("has none", problems)

    def missing(self, reason: str, problems: Sequence[str] = ()) -> UserError:
        """The error that there is no price, with what to do."""
        unread = f"; left out: {'; '.join(problems)}" if problems else ""
        return UserError(f"a calibrated budget needs a step cost, and {self.path} {reason}{unread}; {self.advice}")


class StepPrice(NamedTuple):
    """The cost of an entry's training step, and the record that it comes from."""

    entry: EntryCost
    cost: StepCost

    @property
    def seconds_per_step(self) -> Interval:
        """Of all devices together."""
        interval = self.entry.seconds_per_step
        assert interval is not None, "else it would be no price"
        return interval

    @property
    def source(self) -> str:
        """The record, for readers."""
        return cost_text(self.cost)


def cost_text(cost: StepCost) -> str:
    """A step-cost record for readers: the beginning of its key, its date, and what makes its seconds doubtful."""
    return ", ".join([f"step cost {cost.key[:8]}", cost.ended[:10], *cost.flags])


def find_price_records(path: Path) -> tuple[list[StepCost], list[str]]:
    """The step-cost records that a path names, the newest last, and a line for each file that could not be read.

    Raises:
        UserError: a single file could not be read.
    """
    if path.is_file():
        try:
            return [read_cost(path)], []
        except (ValueError, OSError) as error:
            raise UserError(f"--costs: {error}") from None
    found, problems = read_all(path.glob("*.json"), read_cost) if path.name == COSTS else find_costs([path])
    return sorted((cost for _, cost in found), key=lambda cost: cost.ended), problems


def choose_cost(
    specs: Sequence[RunSpec], source: CostSource | None, here: Hardware, say: Callable[[str], None]
) -> StepCost | None:
    """The one record that gives calibrated budgets their steps: of this hardware, else of the only other.

    Of several that which runs in the results have, so that they are not repeated; then one without flags, then the
    newest.

    Returns:
        None where no budget is calibrated.

    Raises:
        UserError: no record prices all runs that train, or several do on hardware unlike this one.
    """
    if not any(spec.budget.is_calibrated for spec in specs):
        return None
    if source is None:
        raise UserError("a calibrated budget needs a step cost")
    records, problems = find_price_records(source.path)
    if not records:
        raise source.missing("has none", problems)
    wanted = {spec.step_key: spec.entry.name for spec in specs if spec.method.trainable}
    if not wanted:
        raise UserError("a calibrated budget needs an entry that trains; choose others by --methods")
    lacks = [_lack(cost, wanted, here.precision) for cost in records]
    fitting = [cost for cost, (number, _) in zip(records, lacks, strict=True) if number == 0]
    if not fitting:
        nearest = min(reversed(range(len(records))), key=lambda index: lacks[index][0])
        raise source.missing(f"has no fitting one: {cost_text(records[nearest])}, {lacks[nearest][1]}", problems)
    own = [cost for cost in fitting if cost.hardware.key == here.key]
    kinds = {cost.hardware.key: cost.hardware.name for cost in fitting}
    if not own and len(kinds) > 1:
        raise UserError(
            f"{source.path} prices the entries on {listing(sorted(kinds.values()))}, but not on {here.name}; "
            "choose one with --costs FILE"
        )
    named = source.named()
    pool = own or fitting  # in order of their end
    chosen = max(pool, key=lambda cost: (cost.key in named, not cost.flags, cost.ended))
    which = "" if own else "other hardware than this: "
    newer = " (a newer one is there: --costs FILE begins runs by it)" if chosen is not pool[-1] else ""
    say(f"budget by {cost_text(chosen)} ({which}{chosen.hardware.text}){newer}")
    return chosen


def keep_beside(cost: StepCost, results: Path) -> None:
    """Writes a record that sets budgets beside the runs that it sets them for, unless it is there."""
    if cost.key in {known.key for _, known in find_costs([results])[0]}:
        return
    path = cost_path(results, cost)
    path = path.with_stem(f"{path.stem}-{cost.key[:8]}") if path.exists() else path
    with writing(path, "choose another --out"):
        write_cost(path, cost)


def _lack(cost: StepCost, wanted: Mapping[str, str], precision: str) -> tuple[int, str]:
    """How far a record is from pricing all entries, 0 if it does, and what it lacks."""
    if cost.hardware.precision != precision:
        return len(wanted) + 2, f"is of precision {cost.hardware.precision}, not {precision}"
    if cost.status != "complete":
        return len(wanted) + 1, "is unfinished"
    missing = [name for key, name in wanted.items() if key not in cost.prices]
    return len(missing), f"has no price for {listing(missing)}"


def prices_here(source: CostSource | None, here: Hardware) -> dict[str, StepPrice]:
    """The newest price of each step key on this hardware."""
    records = find_price_records(source.path)[0] if source else []
    own = [cost for cost in records if cost.hardware.key == here.key]
    own.sort(key=lambda cost: (not cost.flags, cost.ended))
    return {key: StepPrice(entry, cost) for cost in own for key, entry in cost.prices.items()}
