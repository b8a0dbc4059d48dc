"""The outcome of a run, the record made from it, and what becomes of earlier records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmark.data.views.crops import cropped_by_reader
from benchmark.files.disk import write_atomically
from benchmark.files.parse import dump_yaml
from benchmark.machine.environment import describe, now, visible_cores
from benchmark.records.estimates import BUSY_SHARE
from benchmark.records.folder import read_record
from benchmark.records.schema import Cause, KeySettings, LedgerRecord, Metrics, Record, Status, TrialMetrics
from methods.registry import package_of

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.ranks import Ranks

THROTTLED = 0.05  # share of the training with the clock held down above which a run is marked
INPUT_BOUND = 0.9  # share of the ready-made throughput below which a run is marked as waiting for its loader (rule 12)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `reached` are its scores, if any; `ledger` is None where it never began."""

    status: Status
    message: str | None = None
    reached: Metrics | TrialMetrics | None = None
    ledger: LedgerRecord | None = None
    cause: Cause | None = None


def cause_of(error: Exception) -> Cause:
    """Whether a run failed for lack of memory, or otherwise."""
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return "out_of_memory" if out_of_memory or "can't allocate memory" in str(error).lower() else "exception"


def prepare_folder(folder: Path, spec: RunSpec) -> None:
    """Makes a run's folder; the record of an earlier try (failed, invalid, a trial) is kept under another name."""
    write_atomically(folder / "config.yaml", dump_yaml(spec.config()))
    path = folder / "record.json"
    if not path.is_file():
        return
    earlier = read_record(path)
    kind = "failed" if earlier.status == "failed" else "trial" if earlier.purpose == "trial" else "invalid"
    number = 1
    while (kept := folder / f"record.{kind}-{number}.json").exists():
        number += 1
    path.rename(kept)
    if (folder / "probes").is_dir():  # they are of the earlier encoder
        (folder / "probes").rename(folder / f"probes.{kind}-{number}")


def make_record(
    spec: RunSpec, outcome: Outcome, dataset: Dataset, ranks: Ranks, *, started: str, shared: bool
) -> Record:
    """The record of a run that has just ended; `shared` if another process used one of its devices meanwhile."""
    reached = outcome.reached
    flags = time_flags(outcome.ledger, shared=shared)
    return Record(
        key=spec.key,
        key_settings=KeySettings(**spec.key_settings()),
        experiment=spec.experiment.name,
        entry=spec.entry.name,
        method=spec.entry.method,
        method_display=spec.method.display_name,
        method_colour=spec.method.colour,
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
        flags=[*flags, "test images in train"] if dataset.seen_test_images else flags,
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
        "input-bound": ledger.ready_made_per_second is not None
        and ledger.samples_per_second is not None
        and ledger.samples_per_second.median < INPUT_BOUND * ledger.ready_made_per_second,
        "throttled": (ledger.throttled or 0.0) > THROTTLED,
        "busy machine": (ledger.other_cores or 0.0) > BUSY_SHARE * visible_cores(),
    }
    return [name for name, holds in flags.items() if holds]
