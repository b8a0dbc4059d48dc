"""A real comparison of CIFAR-10's size: equal calibrated time for each method, a seed more with every round of runs.

Runs are those of `bench run`: a finished one is never repeated, one that was interrupted resumes from its saved state.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from benchmark.errors import Interrupted
from benchmark.records.cost import COSTS, MIN_ROUNDS, find_costs
from benchmark.records.folder import find_records
from benchmark.runs.cost_rounds import CostOptions
from benchmark.runs.experiment import run_experiment
from benchmark.runs.prices import CostSource
from benchmark.runs.runner import RunOptions
from benchmark.runs.step_cost import measure_experiment
from stages.harness import Deadline, Prepared, prepare, reporter

if TYPE_CHECKING:
    from benchmark.records.schema import Record
    from stages.plan import Context

_ENTRIES = ("simclr", "cnn_jepa", "byol", "vicreg", "supervised", "random_init")
_TINY = ("simclr", "random_init")
_SECONDS = 20  # calibrated, of a run's training: fixed, so that all stays and all cards have the same budget
_RESERVE = 6.0  # seconds in which a run saves its state
_MOST_SEEDS = 20


def run(context: Context) -> str | None:
    """Prices the entries, then trains seed after seed until the time is up."""
    prepared = _prepared(context)
    folder = context.folder / prepared.experiment.name
    deadline = Deadline(context, _RESERVE)
    try:
        _price(context, prepared, deadline)
        costs = CostSource(folder / COSTS, "run the stage again", folder)
        options = RunOptions(context.folder, context.device, share=True, costs=costs)
        most = int(context.results.data["stays"]) if context.tiny else _MOST_SEEDS  # a dry run: one a stay
        for seeds in range(1, most + 1):
            wanted = prepared.with_seeds(range(seeds))
            with deadline:
                run_experiment(wanted.experiment, wanted.entries, wanted.dataset, options, reporter(), deadline)
            _add_rows(context)
    except Interrupted:
        _add_rows(context)
    missing = sorted(set(_TINY if context.tiny else _ENTRIES) - {row["name"] for row in context.results.rows})
    return f"time was up before a run of {', '.join(missing)} was finished" if missing else None


def _prepared(context: Context) -> Prepared:
    """The experiment: the full ResNet-18 of configs/cifar10.yaml, on the user's images or on as many generated ones."""
    settings = ["evaluation.points=1", "evaluation.images=10000"]
    counts = (300, 100) if context.tiny else (50_000, 10_000)
    if context.data is None:
        generated = zip(("train", "test"), counts, strict=True)
        settings += ["dataset.name=shapes", *(f"dataset.shapes_{split}={count}" for split, count in generated)]
    if context.tiny:
        settings += ["backbone.width=8", "batch_size=16", "evaluation.images=100"]
    entries = _TINY if context.tiny else _ENTRIES
    return prepare("cifar10", entries, settings, context.data, f"calibrated_time={1 if context.tiny else _SECONDS}s")


def _price(context: Context, prepared: Prepared, deadline: Deadline) -> None:
    """Measures what a step of each entry costs, unless that was done: all stays have one price."""
    folder = context.folder / prepared.experiment.name
    if any(cost.prices for _, cost in find_costs([folder])[0]):
        return
    options = CostOptions(MIN_ROUNDS, 0.01 if context.tiny else 0.2, precise=0.99, counting=1.0)
    arguments = (prepared.experiment, prepared.entries, prepared.dataset, folder, options, context.device)
    measure_experiment(*arguments, reporter(), deadline, share=True)


def _add_rows(context: Context) -> None:
    """A row of each entry: its mean accuracy over finished seeds."""
    records = [record for _, record in find_records([context.folder])[0] if record.status == "completed"]
    entries: dict[str, list[Record]] = {}
    for record in records:
        entries.setdefault(record.entry, []).append(record)
    for entry, own in entries.items():
        linear, knn = (_scores(own, name) for name in ("linear_top1", "knn20"))
        context.results.add(
            entry,
            statistics.fmean(linear),
            "% linear top-1",
            f"kNN {statistics.fmean(knn):.2f}%; {_spread(linear)}; {_training(own)}",
            seeds=len(own),
            linear_top1=linear,
            knn20=knn,
        )


def _scores(records: list[Record], name: str) -> list[float]:
    """Of the primary encoder of each record, in percent."""
    found = [record.metrics for record in records if record.metrics is not None]
    return [float(getattr(metrics.encoders[metrics.primary], name)) for metrics in found]


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return "one seed: no result to rank"
    return f"{len(values)} seeds, standard deviation {statistics.stdev(values):.2f}"


def _training(records: list[Record]) -> str:
    """What the runs were trained for."""
    ledgers: list[Any] = [record.ledger for record in records if record.ledger is not None]
    if not ledgers or not ledgers[0].steps:
        return "not trained"
    ledger = ledgers[0]
    return f"{ledger.steps} steps of {records[0].config['batch_size']} images in {ledger.training_time:.0f} s"
