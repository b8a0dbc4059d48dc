"""The outcome of a run, and the record made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.cost.meter import BUSY_SHARE
from benchmark.data.views.crops import cropped_by_reader
from benchmark.machine.environment import describe, now, visible_cores
from benchmark.records.schema import (
    Cause,
    KeySettings,
    LedgerRecord,
    Metrics,
    Record,
    Status,
    TrialMetrics,
)
from methods.registry import package_of

if TYPE_CHECKING:
    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.ranks import Ranks

THROTTLED = 0.05  # share of the training with the clock held down above which a run is marked
INPUT_BOUND = 0.9  # share of the ready-made throughput below which a run is marked


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        reached: its scores; None where there are none.
        ledger: where its time went; None where it never began.
    """

    status: Status
    message: str | None = None
    reached: Metrics | TrialMetrics | None = None
    ledger: LedgerRecord | None = None
    cause: Cause | None = None


def make_record(
    spec: RunSpec, outcome: Outcome, dataset: Dataset, ranks: Ranks, *, started: str, shared: bool
) -> Record:
    """The record of a run that has just ended.

    Args:
        shared: whether another process used one of the devices meanwhile.
    """
    reached = outcome.reached
    return Record(
        key=spec.key,
        key_settings=KeySettings(**spec.key_settings()),
        experiment=spec.experiment.name,
        entry=spec.entry.name,
        method=spec.entry.method,
        backbone=spec.backbone.name,
        seed=spec.seed,
        status=outcome.status,
        cause=outcome.cause,
        message=outcome.message,
        config=spec.config(),
        dataset=dataset.record(),
        crops="reader" if cropped_by_reader(dataset.trained_on(spec.method).images) else "device",
        environment=describe(ranks.device, ranks.size, package_of(spec.entry.method)),
        ledger=outcome.ledger,
        metrics=reached if isinstance(reached, Metrics) else None,
        purpose=spec.purpose,
        trial_metrics=reached if isinstance(reached, TrialMetrics) else None,
        flags=[
            *time_flags(outcome.ledger, shared=shared),
            *(["test images in train"] if dataset.seen_test_images else []),
        ],
        started=started,
        ended=now(),
    )


def time_flags(ledger: LedgerRecord | None, *, shared: bool) -> list[str]:
    """The flags of a run's times: reasons not to trust them."""
    if ledger is None:
        return []
    flags = {
        "resumed": ledger.resumed > 0,
        "tracked": ledger.tracked,
        "shared device": shared,
        "input-bound": _is_input_bound(ledger),
        "throttled": (ledger.throttled or 0.0) > THROTTLED,
        "busy machine": (ledger.other_cores or 0.0) > BUSY_SHARE * visible_cores(),
    }
    return [name for name, holds in flags.items() if holds]


def _is_input_bound(ledger: LedgerRecord) -> bool:
    """Whether training waits for the loader, so that its times say little about the method (rule 12)."""
    real, ready = ledger.samples_per_second, ledger.ready_made_per_second
    return real is not None and ready is not None and real.median < INPUT_BOUND * ready
