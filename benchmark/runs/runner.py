"""How an experiment is carried out: its runs in order; start, resume, record, go on after a failure."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import yaml

from benchmark.encoders.probe import Probes, probe_run, unprobed
from benchmark.errors import GroupLostError, Interrupted, UserError
from benchmark.experiment.run_spec import check_batch, plan_runs, resolve_precision
from benchmark.files import folder_lock, write_atomically
from benchmark.machine.devices import choose_device, has_bfloat16, take_device
from benchmark.machine.environment import now
from benchmark.machine.ranks import held
from benchmark.records.folder import read_record, run_folder, write_record
from benchmark.records.invalid import why_invalid
from benchmark.records.schema import FINAL_STATUSES, Purpose, Record
from benchmark.runs.claim import claim_folder
from benchmark.runs.estimate import TRYING_OUT, estimate
from benchmark.runs.record import Outcome, make_record
from benchmark.runs.run import Judge, Run, keep
from benchmark.training.checkpoint import discard_state

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import Resolved, RunSpec
    from benchmark.experiment.spec import Experiment
    from benchmark.machine.interrupt import StopSignal
    from benchmark.machine.locks import DeviceLock
    from benchmark.machine.ranks import Ranks
    from benchmark.records.schema import Cause, LedgerRecord, Metrics, TrialMetrics
    from benchmark.runs.progress import Reporter


@dataclass(frozen=True)
class Options:
    """Where and how, none of which can change a result.

    Attributes:
        out: the results folder.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        share: use the device beside other processes, and mark it.
        plan: try out each entry first, and say what is to come.
        debug: let a failing run's exception through.
        track: trackers that show the runs too, names from `benchmark.tracking.TOOLS`.
    """

    out: Path
    device: str = "auto"
    share: bool = False
    plan: bool = False
    debug: bool = False
    track: tuple[str, ...] = ()


def run_experiment(
    experiment: Experiment,
    entries: list[Resolved],
    dataset: Dataset,
    options: Options,
    reporter: Reporter,
    stop_signal: StopSignal,
    group: Ranks | None = None,
) -> list[Record]:
    """Carries out what is missing of an experiment.

    Args:
        experiment: what is asked.
        entries: its entries, resolved.
        dataset: loaded.
        options: where and how.
        reporter: is told what happens.
        stop_signal: is asked between steps.
        group: the processes that take part, of which this is the first; None for this one alone.

    Returns:
        The records of all its runs, those that were there before included.

    Raises:
        UserError: something the user can mend.
        Interrupted: the user interrupted; the same call goes on.
        GroupLostError: another process of the group has ended; the same call goes on.
    """
    device = choose_device(options.device)  # of several GPUs the first: they are taken to be alike
    experiment = resolve_precision(experiment, device)
    if experiment.precision == "bf16" and not has_bfloat16(device):
        reporter.say("this device emulates bf16, many times slower than float32; consider --set precision=auto")
    plans = plan_runs(experiment, entries, dataset.image_size)
    check_batch(experiment, plans, dataset)
    manifest = dataset.manifest.digest
    records: list[Record] = []
    missing: list[RunSpec] = []
    for plan in plans:
        done = finished_record(options.out, plan, manifest)
        records += [done] if done else []
        missing += [] if done else [plan]
    if not missing:
        if not _probe_further(experiment, records, dataset, options, reporter, stop_signal):
            reporter.say(f"nothing to do: all {len(plans)} runs are done")
        return records
    if records:
        reporter.say(f"{len(records)} of {len(plans)} runs are done; going on with the rest")
    with held(options.device, group, share=options.share) as (ranks, locks):
        claim_folder(options.out, experiment, entries, dataset)
        if options.plan and ranks.size == 1:
            try:
                with stop_signal.first(TRYING_OUT):
                    tried = estimate(missing, dataset, ranks.device, reporter, stop_signal, evaluation=False)
            except KeyboardInterrupt:  # nothing has begun, so that nothing can be lost
                raise Interrupted from None
            reporter.planned(tried, whole=False)
            claim_folder(options.out, experiment, entries, dataset)  # another device's process may have come first
        bench = RunContext(dataset, options, ranks, locks, reporter, stop_signal)
        for position, plan in enumerate(missing, len(records) + 1):
            if stop_signal.requested:
                raise Interrupted
            record = bench.do(plan, (position, len(plans)))
            records += [record] if record else []
    _probe_further(experiment, records, dataset, options, reporter, stop_signal)
    return records


def _probe_further(
    experiment: Experiment,
    records: list[Record],
    dataset: Dataset,
    options: Options,
    reporter: Reporter,
    stop_signal: StopSignal,
) -> bool:
    """Carries out the experiment's further protocols on runs that lack them; whether there was anything to do."""
    folders = [run_folder(options.out, one.experiment, one.entry, one.seed, one.key) for one in records]
    found = [(folder / "record.json", record) for folder, record in zip(folders, records, strict=True)]
    wanted = unprobed(found, experiment.evaluation.further)
    if wanted:
        asked = Probes(experiment.evaluation.further)
        with take_device(options.device, share=options.share) as (device, _):
            for path, record in wanted:
                probe_run(path, record, asked, dataset, device, reporter, stop_signal)
    return bool(wanted)


def _folder(out: Path, plan: RunSpec, manifest: str) -> Path:
    return run_folder(out, plan.experiment.name, plan.entry.name, plan.seed, plan.key(manifest))


def finished_record(out: Path, plan: RunSpec, manifest: str) -> Record | None:
    """The record of a run that is done; None for one that has still to be carried out.

    Raises:
        UserError: what lies there cannot be read.
    """
    return _finished(_folder(out, plan, manifest), plan.purpose)


def _finished(folder: Path, purpose: Purpose) -> Record | None:
    """The record of a run that need not be tried again; one that a bug is known to have made wrong has to.

    A result tells what a trial would, but a trial was never tested.
    """
    path = folder / "record.json"
    if not path.is_file():
        return None
    try:
        record = read_record(path)
    except ValueError as error:
        raise UserError(f"{error}; move it away to run this again") from None
    wanted = record.purpose in (purpose, "result")
    return record if wanted and record.status in FINAL_STATUSES and why_invalid(record) is None else None


@dataclass(frozen=True)
class RunContext:
    """All that one run after the other needs."""

    dataset: Dataset
    options: Options
    ranks: Ranks
    locks: list[DeviceLock]
    reporter: Reporter
    stop_signal: StopSignal
    judge: Judge = keep

    def was_shared(self) -> bool:
        """Whether another process used one of the devices since this was last asked."""
        return any([lock.was_shared() for lock in self.locks])  # every one is asked

    def is_shared(self) -> bool:
        """Whether another process has one of the devices now."""
        return any(lock.is_shared() for lock in self.locks)

    def do(self, plan: RunSpec, place: tuple[int, int]) -> Record | None:
        """Carries out a run; None where another process is at it."""
        folder = _folder(self.options.out, plan, self.dataset.manifest.digest)
        try:
            with folder_lock(folder) as mine:
                if not mine:
                    self.reporter.say(f"{folder}: another process is at this run; it is left to that one")
                    return None
                done = _finished(folder, plan.purpose)  # by another process, since this one began
                record = done or _carry_out(self, plan, folder, place)
        except OSError as error:
            # A full or read-only disk would fail every further run too; the last saved state is intact.
            raise UserError(
                f"{folder}: cannot be written ({error.strerror or error}); a state saved before is kept"
            ) from error
        if record.status in FINAL_STATUSES:
            (folder / ".lock").unlink(missing_ok=True)
        if not done:
            self.reporter.run_ended(record)
        return record


def _carry_out(bench: RunContext, plan: RunSpec, folder: Path, place: tuple[int, int]) -> Record:
    """One run and its record, whatever happens to it."""
    bench.was_shared()  # what was before is no concern of this run
    # Who was met is not told when the other one ends first.
    beside = bench.is_shared()
    started = now()
    outcome = _run(bench, plan, folder, place)
    shared = bench.was_shared() or beside
    anywhere = bench.ranks.finish_run(shared)
    record = make_record(
        plan,
        outcome,
        bench.dataset,
        bench.ranks,
        started=started,
        shared=shared if anywhere is None else anywhere,
    )
    write_atomically(folder / "environment.json", record.environment.model_dump_json(indent=2) + "\n")
    write_record(folder, record)
    if record.status in FINAL_STATUSES:  # a failed run may go on from its last state
        discard_state(folder)
    if anywhere is None:
        raise GroupLostError("another device's process has ended")
    return record


def _run(bench: RunContext, plan: RunSpec, folder: Path, place: tuple[int, int]) -> Outcome:
    """One run from its start to its end; what goes wrong inside is its outcome."""
    dataset, options, ranks = bench.dataset, bench.options, bench.ranks
    run: Run | None = None
    ledger: LedgerRecord | None = None
    reached: Metrics | TrialMetrics | None = None
    try:
        _prepare_folder(folder, plan)
        ranks.order(plan.key(dataset.manifest.digest))
        told = (bench.reporter, bench.stop_signal)
        run = Run(plan, dataset, ranks.device, folder, *told, ranks, bench.judge, options.track)
        bench.reporter.run_started(plan, *place, run.resumed_at)
        status, message, reached = run.carry_out()
        ledger = run.ledger.record(run.memory.read(), run.meter)
        if status not in ("diverged", "pruned"):
            ledger = _described(bench, run, ledger)
        outcome = Outcome(status, message, reached)
    except (Interrupted, UserError, KeyboardInterrupt, OSError):
        raise
    except Exception as error:
        if options.debug:
            raise
        outcome = Outcome("failed", f"{type(error).__name__}: {error}", reached, cause=_cause(error))
        _write_traceback(folder)
    finally:
        if run is not None:
            ledger = ledger or run.ledger.record(run.memory.read(), run.meter)
            run.close()
    return replace(outcome, ledger=ledger)


def _described(bench: RunContext, run: Run, ledger: LedgerRecord) -> LedgerRecord:
    """The ledger with FLOPs and the like, and pictures beside: outside the timed run, which they cannot fail."""
    for what, work in run.afterwards:
        try:
            work()
        except (Interrupted, UserError, KeyboardInterrupt, OSError):
            raise
        except Exception as error:
            if bench.options.debug or bench.ranks.size > 1:  # the others wait for this process's part
                raise
            _write_traceback(run.folder)
            reason = f"{type(error).__name__}: {error}"
            bench.reporter.say(f"{run.folder}: {what} could not be had ({reason}; traceback.txt)")
    return run.described(ledger)


def _prepare_folder(folder: Path, plan: RunSpec) -> None:
    """Makes the folder; the record of an earlier try (failed, invalid, a trial) is kept under another name."""
    write_atomically(folder / "config.yaml", yaml.safe_dump(plan.config(), sort_keys=False))
    old = folder / "record.json"
    if old.is_file():
        before = read_record(old)
        kind = "failed" if before.status == "failed" else "trial" if before.purpose == "trial" else "invalid"
        number = 1
        while (folder / f"record.{kind}-{number}.json").exists():
            number += 1
        old.rename(folder / f"record.{kind}-{number}.json")
        if (folder / "probes").is_dir():  # they are of the encoder that was there
            (folder / "probes").rename(folder / f"probes.{kind}-{number}")


def _cause(error: Exception) -> Cause:
    text = str(error).lower()
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text
    return "out_of_memory" if out_of_memory else "exception"


def _write_traceback(folder: Path) -> None:
    write_atomically(folder / "traceback.txt", traceback.format_exc())
