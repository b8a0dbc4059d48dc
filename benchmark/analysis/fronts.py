"""Pareto fronts of cost and accuracy: of points, of a comparison's rows, of a study's trials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.analysis.comparability import grouped, network_kind
from benchmark.analysis.studies import complete_trials
from benchmark.records.budgets import budget_kind, budget_of, budget_size, fixed_cost, has_time_budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.analysis.comparison import Row
    from benchmark.records.study import EntryStudy, TrialOutcome


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The (cost, accuracy) points that no other point dominates: as cheap and as accurate, and better in one.

    Returns:
        Indices by rising cost; of equal points the first alone.
    """
    front: list[int] = []
    best = -math.inf
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i)):
        if points[index][1] > best:
            front.append(index)
            best = points[index][1]
    return front


def compared_cost(row: Row) -> float:
    """The cost in device-seconds by which figures and fronts compare a row; 0 if it has none.

    A budget of time is the cost, so that the length of a last step decides nothing: one of the runs' own time, or a
    calibrated one by the record that it was set by.
    """
    if row.price is None:
        return own_time_limit(row) or row.cost.mean or 0.0
    if not priced_by_budget(row):
        return row.cost.mean or 0.0
    device_hours = budget_kind(row.first) == "calibrated_device_hours"
    return budget_size(row.first) * (3600.0 if device_hours else row.price.cost.hardware.devices)


def own_time_limit(row: Row) -> float | None:
    """The cost in device-seconds that a budget of the runs' own time sets; None under any other."""
    return fixed_cost(row.first) if has_time_budget(row.first) else None


def priced_by_budget(row: Row) -> bool:
    """Whether a row has the price that set the number of its steps."""
    return row.price is not None and budget_of(row.first).get("step_cost") == row.price.cost.key


def front_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows on the Pareto front of the means, by rising cost, whatever their networks are.

    Supervised and collapsed rows do not compete, nor do rows with unsafe times. An untrained network does, at no cost:
    a row that does not exceed it is not on the front.
    """
    rivals = [
        row
        for row in rows
        if row.completed
        and row.first.method != "supervised"
        and (row.first.method == "random_init" or not row.unsafe)  # an untrained network has no training time
    ]
    free = [row.first.method == "random_init" for row in rivals]
    points = [(0.0 if f else compared_cost(row), row.accuracy.mean or 0.0) for row, f in zip(rivals, free, strict=True)]
    return [rivals[i] for i in pareto_front(points) if not free[i] and rivals[i].cost.mean]


def fronts(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows on the Pareto front of each kind of network (`CNN`, `ViT`) that has one, by rising cost.

    Networks of different kinds do not compete: a method on a ViT says nothing about the methods on a CNN. A kind
    without an untrained network of its own has to exceed those of the other.
    """
    kinds = grouped(rows, lambda row: network_kind(row.first))
    floors = [row for row in rows if row.first.method == "random_init"]
    own = {kind for kind, part in kinds.items() if any(row.first.method == "random_init" for row in part)}
    every = {kind: front_rows(part if kind in own else [*part, *floors]) for kind, part in kinds.items()}
    return {kind: front for kind, front in sorted(every.items()) if front}


def scored_trials(study: EntryStudy) -> list[TrialOutcome]:
    """The complete trials with a score and a cost."""
    return [trial for trial in complete_trials(study) if trial.runs and trial.value is not None]


def trial_cost(trial: TrialOutcome) -> float:
    """The mean device-hours of a trial's runs, which is the cost that the `nsga2` sampler minimises."""
    return sum(run.device_hours for run in trial.runs) / len(trial.runs)


def front_trials(study: EntryStudy) -> list[TrialOutcome]:
    """The complete trials on the Pareto front of score and cost, by rising cost."""
    trials = scored_trials(study)
    return [trials[i] for i in pareto_front([(trial_cost(trial), trial.value or 0.0) for trial in trials])]
