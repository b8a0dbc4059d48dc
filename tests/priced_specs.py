"""Step-cost records of planned runs, made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from made_costs import CPU, make_cost, make_priced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.cost import StepCost


def cost_of(
    specs: Iterable[RunSpec], seconds: Mapping[str, float], hardware: Mapping[str, Any] = CPU, **options: Any
) -> StepCost:
    """The step cost of the runs' entries that `seconds` (per step) names, as of their precision."""
    keys = {spec.entry.name: spec.step_key for spec in specs}
    precision = next(spec.experiment.precision for spec in specs)
    made = {"reference": next(iter(seconds)), **options}
    cost = make_cost([make_priced(name) for name in seconds], seconds, {**hardware, "precision": precision}, **made)
    entries = [entry.model_copy(update={"step_key": keys[entry.entry]}) for entry in cost.entries]
    return cost.model_copy(update={"entries": entries}).sealed()
