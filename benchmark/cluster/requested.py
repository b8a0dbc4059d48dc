"""How long each run takes by step costs, and the time limit that its job asks for."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from benchmark.runs.prices import StepPrice, find_price_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.cluster_spec import ClusterSpec
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.runs.prices import CostSource

DEFAULT = 4 * 3600.0
"""Seconds that a job asks for where nothing is known; a run that takes longer goes on in further jobs."""
_MARGIN, _BESIDE = 1.25, 1800.0  # of training; seconds for set-up and probes, which step costs do not know
_ROUND = 600.0


@dataclass(frozen=True)
class PlannedJob:
    """A job before it is submitted.

    Attributes:
        training: seconds; None where no step cost is known.
        requested: seconds, the job's time limit.
        devices: that share each batch.
        source: where the time comes from, for readers.
    """

    spec: RunSpec
    training: float | None
    requested: float
    devices: int
    source: str

    @property
    def device_hours(self) -> float | None:
        """Training time x devices, in hours."""
        return None if self.training is None else self.training * self.devices / 3600


def plan_jobs(specs: Sequence[RunSpec], cluster: ClusterSpec, dataset: Dataset, costs: CostSource) -> list[PlannedJob]:
    """What the job of each run asks for."""
    prices = slowest_prices(costs, cluster.size)
    return [_planned(spec, cluster, dataset, prices) for spec in specs]


def slowest_prices(costs: CostSource, devices: int) -> Mapping[tuple[str, str], StepPrice]:
    """The highest price of each step key and precision over all hardware of so many devices: a job may get any node."""
    prices: dict[tuple[str, str], StepPrice] = {}
    latest = {cost.hardware.key: cost for cost in find_price_records(costs.path)[0]}  # the newest last
    for cost in latest.values():
        if cost.hardware.devices == devices:
            for key, entry in cost.prices.items():
                price, place = StepPrice(entry, cost), (key, cost.hardware.precision)
                known = prices.get(place)
                if known is None or price.seconds_per_step.median > known.seconds_per_step.median:
                    prices[place] = price
    return prices


def _planned(
    spec: RunSpec, cluster: ClusterSpec, dataset: Dataset, prices: Mapping[tuple[str, str], StepPrice]
) -> PlannedJob:
    training, source = _training(spec, cluster, dataset, prices)
    known = DEFAULT if training is None else ceil((training * _MARGIN + _BESIDE) / _ROUND) * _ROUND
    return PlannedJob(spec, training, cluster.time or known, cluster.size, source)


def _training(
    spec: RunSpec, cluster: ClusterSpec, dataset: Dataset, prices: Mapping[tuple[str, str], StepPrice]
) -> tuple[float | None, str]:
    """Seconds of training, and where they come from."""
    if not spec.method.trainable:
        return 0.0, "trains nothing"
    seconds = spec.budget.training_time(cluster.size)
    if seconds is not None:
        return seconds, "its budget"
    price = prices.get((spec.step_key, spec.experiment.precision))
    if price is None:
        return None, "no step cost"
    batch = spec.experiment.batch_size
    images = len(dataset.trained_on(spec.method).images)
    if spec.budget.kind == "flops" and not price.entry.flops_per_step:
        return None, "no FLOPs in the step cost"
    steps = spec.budget.total_steps(images // batch, batch, price.entry.flops_per_step)
    return (
        None if steps is None else steps * price.seconds_per_step.median,
        f"{price.source}, {price.cost.hardware.name}",
    )
