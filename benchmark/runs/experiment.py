"""Runs an experiment: its runs in order, on all ranks; resumes, and continues after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.encoders.probe import Probes, probe_run, unprobed
from benchmark.errors import Interrupted, UserError
from benchmark.experiment.run_spec import plan_runs, priced
from benchmark.machine.devices import choose_device, has_bfloat16, take_device
from benchmark.machine.environment import hardware
from benchmark.machine.ranks import Ranks, held
from benchmark.records.folder import run_folder
from benchmark.runs.claim import claim_folder
from benchmark.runs.estimate import TRYING_OUT, estimate
from benchmark.runs.prices import choose_cost, keep_beside, prices_here
from benchmark.runs.runner import RunContext, execute, finished_record

if TYPE_CHECKING:
    from benchmark.data.datasets import Dataset
    from benchmark.experiment.entries import ResolvedEntry
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.experiment.spec import Experiment
    from benchmark.machine.interrupt import StopSignal
    from benchmark.records.schema import Record
    from benchmark.runs.progress import Reporter
    from benchmark.runs.runner import RunOptions


def run_experiment(
    experiment: Experiment,
    entries: list[ResolvedEntry],
    dataset: Dataset,
    options: RunOptions,
    reporter: Reporter,
    stop_signal: StopSignal,
    group: Ranks | None = None,
) -> list[Record]:
    """Trains and tests what is missing of an experiment. All ranks run this; the first one decides.

    Args:
        reporter: silent on all ranks but the first.
        group: the processes that train together, seen from this one; None for this process alone.

    Returns:
        On the first rank the records of all runs, earlier ones included.

    Raises:
        UserError: something the user can mend.
        Interrupted: the user interrupted; the same call resumes.
        GroupLostError: another process of the group has ended; the same call resumes.
        FirstFailedError: on the other ranks, where the first one has ended.
    """
    device = group.device if group else choose_device(options.device)  # of several GPUs the first: they are alike
    if experiment.precision == "bf16" and not has_bfloat16(device):
        reporter.say("this device emulates bf16, many times slower than float32; consider --set precision=auto")
    ranks = group or Ranks(device)
    specs = plan_runs(experiment, entries, dataset, device)
    experiment = specs[0].experiment  # with its precision resolved
    here = hardware(device, ranks.size, experiment.precision)
    cost = ranks.first(lambda: choose_cost(specs, options.costs, here, reporter.say))
    specs = priced(specs, cost)
    if cost is not None:
        ranks.first(lambda: keep_beside(cost, options.out / experiment.name))
    specs = specs if options.only is None else _only(specs, options.only)
    records, missing = _missing(specs, options, ranks)
    if not missing:
        if records and not _probe_further(experiment, records, dataset, options, reporter, stop_signal):
            reporter.say(f"nothing to do: all {len(specs)} runs are done")
        return records
    if records:
        reporter.say(f"{len(records)} of {len(specs)} runs are done; running the rest")
    with held(options.device, group, share=options.share) as (ranks, locks):
        context = RunContext(dataset, options, ranks, locks, reporter, stop_signal)
        if ranks.is_first:
            _claim_and_estimate(experiment, entries, missing, context)
        for position, spec in enumerate(missing, len(records) + 1):
            if ranks.is_first and stop_signal.requested:
                raise Interrupted
            record = execute(spec, context, (position, len(specs)))
            records += [record] if record else []
    if records:
        _probe_further(experiment, records, dataset, options, reporter, stop_signal)
    return records


def _only(specs: list[RunSpec], key: str) -> list[RunSpec]:
    """The run of this key."""
    chosen = [spec for spec in specs if spec.key == key]
    if not chosen:
        raise UserError(
            f"no run here has the key {key[:8]}: the configuration, the images or the step costs have changed since "
            "the job was submitted; submit again"
        )
    return chosen


def _missing(specs: list[RunSpec], options: RunOptions, ranks: Ranks) -> tuple[list[Record], list[RunSpec]]:
    """The records of finished runs, on the first rank, and the runs that are missing, on all of them."""
    done = {spec.key: finished_record(options.out, spec) for spec in specs} if ranks.is_first else {}
    keys = ranks.first(lambda: [key for key, record in done.items() if record is None])
    by_key = {spec.key: spec for spec in specs}
    if not by_key.keys() >= set(keys):
        raise UserError("this machine has another configuration, precision or dataset than the first rank's")
    return [record for record in done.values() if record], [by_key[key] for key in keys]


def _claim_and_estimate(
    experiment: Experiment, entries: list[ResolvedEntry], missing: list[RunSpec], context: RunContext
) -> None:
    options, dataset, reporter, stop_signal = context.options, context.dataset, context.reporter, context.stop_signal
    claim_folder(options.out, experiment, entries, dataset)
    if not options.plan or context.ranks.size > 1:
        return
    try:
        with stop_signal.first(TRYING_OUT):
            prices = prices_here(options.costs, hardware(context.ranks.device, 1, missing[0].experiment.precision))
            estimates = estimate(
                missing, dataset, context.ranks.device, reporter, stop_signal, evaluation=False, prices=prices
            )
    except KeyboardInterrupt:  # nothing has begun, so that nothing can be lost
        raise Interrupted from None
    reporter.planned(estimates, whole=False)
    claim_folder(options.out, experiment, entries, dataset)  # another process may have claimed it meanwhile


def _probe_further(
    experiment: Experiment,
    records: list[Record],
    dataset: Dataset,
    options: RunOptions,
    reporter: Reporter,
    stop_signal: StopSignal,
) -> bool:
    """Runs the experiment's further protocols on runs that lack them; whether there were any."""
    runs = [
        (run_folder(options.out, record.experiment, record.entry, record.seed, record.key) / "record.json", record)
        for record in records
    ]
    runs = unprobed(runs, experiment.evaluation.further)
    if runs:
        probes = Probes(experiment.evaluation.further)
        with take_device(options.device, share=options.share) as (device, _):
            for path, record in runs:
                probe_run(path, record, probes, dataset, device, reporter, stop_signal)
    return bool(runs)
