"""How an experiment is carried out: its runs in order; start, resume, record, go on after a failure."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

import torch
import yaml

from benchmark.cost.meter import BUSY_SHARE
from benchmark.environment import PeakMemory, describe, visible_cores
from benchmark.errors import UserError
from benchmark.experiment import plan_runs
from benchmark.precision import has_bfloat16, settle
from benchmark.records import (
    FINAL_STATUSES,
    Cause,
    DatasetRecord,
    LedgerRecord,
    Metrics,
    Record,
    Status,
    read_record,
    run_folder,
    write_atomically,
    write_record,
)
from benchmark.run import Run
from benchmark.training.checkpoint import discard_state
from benchmark.training.loop import Interrupted

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment import Experiment, Resolved, RunPlan
    from benchmark.interruption import Interruption


class Reporter(Protocol):
    """Who shows what happens."""

    def run_started(self, plan: RunPlan, position: int, total: int, resumed_at: float | None) -> None:
        """A run begins, or goes on from some progress."""

    def run_advanced(self, progress: float, loss: float, images_per_second: float | None, remaining: float) -> None:
        """A run has come so far; `remaining` in seconds of training."""

    def run_ended(self, record: Record) -> None:
        """A run has its record."""

    def say(self, text: str) -> None:
        """A line for the user."""


@dataclass(frozen=True)
class Options:
    """Where and how, none of which can change a result.

    Attributes:
        out: the results folder.
        device: `auto`, `cpu` or `cuda`.
        debug: let a failing run's exception through.
    """

    out: Path
    device: str = "auto"
    debug: bool = False


def run_experiment(
    experiment: Experiment,
    entries: list[Resolved],
    dataset: Dataset,
    options: Options,
    reporter: Reporter,
    interruption: Interruption,
) -> list[Record]:
    """Carries out what is missing of an experiment.

    Args:
        experiment: what is asked.
        entries: its entries, resolved.
        dataset: loaded.
        options: where and how.
        reporter: is told what happens.
        interruption: is asked between steps.

    Returns:
        The records of all its runs, those that were there before included.

    Raises:
        UserError: something the user can mend.
        Interrupted: the user interrupted; the same call goes on.
    """
    device = choose_device(options.device)
    experiment = settle(experiment, device)
    if experiment.precision == "bf16" and not has_bfloat16(device):
        reporter.say("this device emulates bf16, many times slower than float32; consider --set precision=auto")
    plans = plan_runs(experiment, entries, dataset.image_size)
    for plan in plans:
        if plan.method.trainable and experiment.batch_size > len(dataset.pretraining.images):
            raise UserError(
                f"batch_size is {experiment.batch_size}, but the training split of {dataset.name} has "
                f"{len(dataset.pretraining.images)} images; expected at most that"
            )
    claim_folder(options.out, experiment, entries, dataset)
    manifest = dataset.manifest.digest
    records: list[Record] = []
    missing: list[RunPlan] = []
    for plan in plans:
        done = _finished(_folder(options.out, plan, manifest))
        records += [done] if done else []
        missing += [] if done else [plan]
    if not missing:
        reporter.say(f"nothing to do: all {len(plans)} runs are done")
        return records
    if records:
        reporter.say(f"{len(records)} of {len(plans)} runs are done; going on with the rest")
    for position, plan in enumerate(missing, len(records) + 1):
        if interruption.requested:
            raise Interrupted
        record = _carry_out(plan, dataset, options, reporter, interruption, (position, len(plans)))
        records.append(record)
        reporter.run_ended(record)
    return records


def _folder(out: Path, plan: RunPlan, manifest: str) -> Path:
    return run_folder(out, plan.experiment.name, plan.entry.name, plan.seed, plan.key(manifest))


def _finished(folder: Path) -> Record | None:
    """The record of a run that need not be tried again."""
    path = folder / "record.json"
    if not path.is_file():
        return None
    try:
        record = read_record(path)
    except ValueError as error:
        raise UserError(f"{error}; move it away to run this again") from None
    return record if record.status in FINAL_STATUSES else None


def claim_folder(out: Path, experiment: Experiment, entries: list[Resolved], dataset: Dataset) -> None:
    """Notes in the experiment's folder what it holds, and refuses to mix it with something else.

    Seeds, rungs of the ladder and further entries may be added later; what is shared by all runs, and what an entry's
    name stands for, may not change (RULES 22: one row is one configuration).

    Raises:
        UserError: the folder holds another experiment, or cannot be written.
    """
    folder = out / experiment.name
    path = folder / "experiment.yaml"
    shared: dict[str, Any] = experiment.model_dump(mode="json", include={"batch_size", "precision"})
    shared["dataset"] = {"manifest": dataset.manifest.digest, "image_size": dataset.image_size}
    named: dict[str, Any] = {
        one.entry.name: {
            "method": one.entry.method,
            "backbone": one.backbone.model_dump(mode="json"),
            "settings": one.settings.model_dump(mode="json"),
        }
        for one in entries
    }
    try:
        if path.is_file():
            before = yaml.safe_load(path.read_text(encoding="utf-8"))
            # A name is taken once a run of it has begun, and the folder once any has.
            begun = [name for name in before["entries"] if (folder / name).is_dir()]
            if begun:
                _refuse_difference(before["shared"], shared, str(folder))
            for name in named.keys() & set(begun):
                _refuse_difference(before["entries"][name], named[name], str(folder), f"entries.{name}")
            named = {**{name: before["entries"][name] for name in begun}, **named}
        content = yaml.safe_dump({"shared": shared, "entries": named}, sort_keys=False)
        write_atomically(path, content)
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not what `bench run` writes ({error}); choose another --out") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); choose another --out") from None


def _refuse_difference(before: Any, now: Any, folder: str, key: str = "") -> None:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in {**before, **now}:
            _refuse_difference(before.get(name), now.get(name), folder, f"{key}.{name}".lstrip("."))
    elif before != now:
        raise UserError(
            f"{folder} holds another experiment: {key} is {before!r} there and {now!r} here; "
            "choose another --out, or give this one a name of its own with --set name=NAME"
        )


def _carry_out(
    plan: RunPlan,
    dataset: Dataset,
    options: Options,
    reporter: Reporter,
    interruption: Interruption,
    place: tuple[int, int],
) -> Record:
    """One run from start to record, whatever happens."""
    folder = _folder(options.out, plan, dataset.manifest.digest)
    started = _now()
    run: Run | None = None
    ledger: LedgerRecord | None = None
    metrics: Metrics | None = None
    status: Status
    cause: Cause | None = None
    message: str | None = None
    device = choose_device(options.device)
    memory = PeakMemory(device)
    try:
        _prepare_folder(folder, plan)
        run = Run(plan, dataset, device, folder, reporter, interruption)
        reporter.run_started(plan, *place, run.resumed_at)
        status, message, metrics = run.carry_out()
        ledger = run.ledger.record(1, memory.read(), run.meter)
        if status != "diverged":
            run.write_pictures()  # outside the timed run
    except (Interrupted, UserError, KeyboardInterrupt):
        raise
    except OSError as error:
        # A full or read-only disk would fail every further run too; the last saved state is intact.
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); a state saved before is kept"
        ) from error
    except Exception as error:
        if options.debug:
            raise
        status, cause, message = "failed", _cause(error), f"{type(error).__name__}: {error}"
        _write_traceback(folder)
    finally:
        if run is not None:
            ledger = ledger or run.ledger.record(1, memory.read(), run.meter)
            run.close()
    record = Record(
        key=plan.key(dataset.manifest.digest),
        experiment=plan.experiment.name,
        entry=plan.entry.name,
        method=plan.entry.method,
        backbone=plan.backbone.name,
        seed=plan.seed,
        status=status,
        cause=cause,
        message=message,
        config=plan.config(),
        dataset=describe_dataset(dataset),
        environment=describe(device, 1),
        ledger=ledger,
        metrics=metrics,
        flags=_flags(ledger),
        started=started,
        ended=_now(),
    )
    write_atomically(folder / "environment.json", record.environment.model_dump_json(indent=2) + "\n")
    write_record(folder, record)
    if status in FINAL_STATUSES:  # a failed run may go on from its last state
        discard_state(folder)
    return record


def _flags(ledger: LedgerRecord | None) -> list[str]:
    """What a reader of the run's times has to know."""
    if ledger is None:
        return []
    busy = (ledger.other_cores or 0.0) > BUSY_SHARE * visible_cores()
    return [name for name, holds in (("resumed", ledger.resumed > 0), ("busy machine", busy)) if holds]


def _prepare_folder(folder: Path, plan: RunPlan) -> None:
    """Makes the folder; the record of an earlier, failed try is kept under another name."""
    write_atomically(folder / "config.yaml", yaml.safe_dump(plan.config(), sort_keys=False))
    old = folder / "record.json"
    if old.is_file():
        number = 1
        while (folder / f"record.failed-{number}.json").exists():
            number += 1
        old.rename(folder / f"record.failed-{number}.json")


def _cause(error: Exception) -> Cause:
    text = str(error).lower()
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text
    return "out_of_memory" if out_of_memory else "exception"


def _write_traceback(folder: Path) -> None:
    write_atomically(folder / "traceback.txt", traceback.format_exc())


def describe_dataset(dataset: Dataset) -> DatasetRecord:
    """The dataset as it stands in records."""
    manifest = dataset.manifest
    return DatasetRecord(
        name=dataset.name, manifest=manifest.digest, classes=len(dataset.classes), counts=manifest.counts
    )


def choose_device(name: str) -> torch.device:
    """The device that is asked for, or the best there is.

    Raises:
        UserError: it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device is 'cuda', but no CUDA device is visible; choices: auto, cpu")
    if name not in ("cpu", "cuda"):
        raise UserError(f"--device is '{name}'; choices: auto, cpu, cuda")
    return torch.device(name)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
