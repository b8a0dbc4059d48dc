"""Trains and tests one run on all ranks; however it ends, it leaves a record.

`execute` is the only way to train a run: experiments, sweeps, cluster jobs and several ranks all call it.
"""

from __future__ import annotations

import logging
import traceback
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmark.errors import FirstFailedError, GroupLostError, Interrupted, UserError
from benchmark.files.disk import write_atomically, writing
from benchmark.machine.environment import now
from benchmark.records.folder import read_record, write_record
from benchmark.records.invalid import why_invalid
from benchmark.records.locks import folder_lock
from benchmark.records.schema import FINAL_STATUSES
from benchmark.runs.record import Outcome, cause_of, make_record, prepare_folder
from benchmark.runs.run import Run, ShouldPrune, never_prune
from benchmark.training.checkpoint import discard_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.interrupt import StopSignal
    from benchmark.machine.locks import DeviceLock
    from benchmark.machine.ranks import Ranks
    from benchmark.records.heartbeat import Claim
    from benchmark.records.schema import LedgerRecord, Record
    from benchmark.runs.prices import CostSource
    from benchmark.runs.progress import Reporter

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """Where and how runs are trained; nothing here can change the result of a run.

    Attributes:
        share: use the device beside other processes, and mark the times.
        plan: try out each entry first, and print estimates.
        costs: where step costs are looked for, which give calibrated budgets their steps.
        track: names from `benchmark.runs.tracking.TOOLS`.
        only: key of the one run that is trained, of those of the experiment; None for all.
    """

    out: Path
    device: str = "auto"
    share: bool = False
    plan: bool = False
    debug: bool = False
    track: tuple[str, ...] = ()
    costs: CostSource | None = None
    only: str | None = None


@dataclass(frozen=True)
class RunContext:
    """What every run of a command needs."""

    dataset: Dataset
    options: RunOptions
    ranks: Ranks
    locks: Sequence[DeviceLock]
    reporter: Reporter
    stop_signal: StopSignal
    should_prune: ShouldPrune = never_prune

    def was_shared(self) -> bool:
        """Whether another process used one of the devices since the last call."""
        return any([lock.was_shared() for lock in self.locks])  # a list, so that every lock is read

    def is_shared(self) -> bool:
        """Whether another process has one of the devices now."""
        return any(lock.is_shared() for lock in self.locks)


def finished_record(out: Path, spec: RunSpec) -> Record | None:
    """The record of a run that is done; None for a missing, failed or invalid one, or a trial where a result is wanted.

    Raises:
        UserError: the record cannot be read.
    """
    path = spec.folder(out) / "record.json"
    if not path.is_file():
        return None
    try:
        record = read_record(path)
    except ValueError as error:
        raise UserError(f"{error}; move it away to run this again") from None
    fits = record.purpose in (spec.purpose, "result")
    return record if fits and record.status in FINAL_STATUSES and why_invalid(record) is None else None


def execute(spec: RunSpec, context: RunContext, position: tuple[int, int] = (1, 1)) -> Record | None:
    """Trains and tests one run on all ranks, unless it is done.

    Args:
        position: its number among all runs, and how many there are, for messages.

    Returns:
        Its record on the first rank. None on the others, and where another process is running it.

    Raises:
        UserError: its folder cannot be written; the last saved state is kept.
        Interrupted: the user interrupted; the state is saved.
        GroupLostError: another rank has ended.
        FirstFailedError: on the other ranks, where the first one has ended.
    """
    folder, ranks = spec.folder(context.options.out), context.ranks
    record: Record | None = None
    claim: Claim | None = None
    # A full or read-only disk would fail every further run too; the last saved state is intact.
    with writing(folder, "a state saved before is kept"), ExitStack() as stack:

        def is_wanted() -> bool:
            nonlocal record, claim
            claim = stack.enter_context(folder_lock(folder))
            if claim is None:
                context.reporter.say(f"{folder}: is already running in another process; skipped")
                return False
            record = finished_record(context.options.out, spec)  # by another process meanwhile
            return record is None

        wanted = ranks.first(is_wanted)
        if wanted:
            record = _run_and_record(spec, context, folder, position, claim)
        if record is not None and record.status in FINAL_STATUSES:
            (folder / ".lock").unlink(missing_ok=True)  # while it is held, so that two processes never have it
    if record is not None and wanted:
        context.reporter.run_ended(record)
    return record


def _run_and_record(
    spec: RunSpec, context: RunContext, folder: Path, position: tuple[int, int], claim: Claim | None
) -> Record | None:
    """Trains one run and writes its record, however it ends; returns the record on the first rank.

    Args:
        claim: of the folder, on the first rank.
    """
    ranks = context.ranks
    ranks.begin_run()
    context.was_shared()  # forgets what was before this run
    shared_at_start = context.is_shared()  # not seen later if the other process ends first
    started = now()
    outcome = _run(spec, context, folder, position, claim)
    shared = context.was_shared() or shared_at_start
    shared_anywhere = ranks.finish_run(shared)  # None where a rank is gone
    if ranks.is_first:
        if claim is not None:
            claim.check()
        shared = shared if shared_anywhere is None else shared_anywhere
        record = make_record(spec, outcome, context.dataset, ranks, started=started, shared=shared)
        write_atomically(folder / "environment.json", record.environment.model_dump_json(indent=2) + "\n")
        write_record(folder, record)
        if record.status in FINAL_STATUSES:  # a failed run may resume from its last state
            discard_state(folder)
    if shared_anywhere is None:
        if not ranks.is_first and outcome.cause is not None:
            # A failure here alone: by this exit code a launcher ends the ranks that still wait for this one.
            raise SystemExit(1)
        raise GroupLostError("another device's process has ended")
    return record if ranks.is_first else None


def _run(spec: RunSpec, context: RunContext, folder: Path, position: tuple[int, int], claim: Claim | None) -> Outcome:
    """Builds, trains, tests and measures one run; an error inside becomes its outcome."""
    options, ranks, reporter = context.options, context.ranks, context.reporter
    run: Run | None = None
    ledger: LedgerRecord | None = None
    try:
        ranks.first(lambda: prepare_folder(folder, spec))
        run = Run(
            spec,
            context.dataset,
            ranks.device,
            folder,
            reporter,
            context.stop_signal,
            ranks,
            context.should_prune,
            options.track,
            claim,
        )
        reporter.run_started(spec, *position, run.resumed_at)
        status, message, metrics = run.train_and_test()
        outcome = Outcome(status, message, metrics)
        ledger = run.ledger.record(run.memory.read(), run.meter)
        if status not in ("diverged", "pruned"):
            ledger = _measured(context, run, ledger)
    except (Interrupted, UserError):
        raise
    except FirstFailedError as error:
        outcome = Outcome("failed", str(error))
    except Exception as error:
        if options.debug or (isinstance(error, OSError) and ranks.is_first):
            raise
        outcome = Outcome("failed", f"{type(error).__name__}: {error}", cause=cause_of(error))
        if ranks.is_first:
            _write_traceback(folder)
        else:
            _log.error("device %d of %d: %s", ranks.rank, ranks.size, outcome.message)
    finally:
        if run is not None:
            ledger = ledger or run.ledger.record(run.memory.read(), run.meter)
            run.close()
    return replace(outcome, ledger=ledger)


def _measured(context: RunContext, run: Run, ledger: LedgerRecord) -> LedgerRecord:
    """The ledger with what is measured after a run (FLOPs and the like); errors here do not fail the finished run."""
    if run.measurements is None:
        return ledger
    for name, measure in run.measurements.parts:
        try:
            measure()
        except Exception as error:
            ends_command = isinstance(error, (Interrupted, UserError, OSError))
            if ends_command or context.options.debug or context.ranks.size > 1:  # other ranks wait for this one's part
                raise
            _write_traceback(run.folder)
            reason = f"{type(error).__name__}: {error}"
            context.reporter.say(f"{run.folder}: {name} could not be measured ({reason}; traceback.txt)")
    return run.measurements.added_to(ledger)


def _write_traceback(folder: Path) -> None:
    write_atomically(folder / "traceback.txt", traceback.format_exc())
