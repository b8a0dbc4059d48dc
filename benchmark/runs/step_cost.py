"""Measures what a training step of each entry costs: short blocks in turns, round after round (rules 29 to 32).

A measurement is written after every round, resumes from there, and ends when it is precise enough.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmark.cost.step_cost import summarised
from benchmark.errors import UserError
from benchmark.experiment.run_spec import plan_runs
from benchmark.files import folder_lock, writing
from benchmark.machine.environment import describe, hardware, now
from benchmark.machine.ranks import held
from benchmark.records.cost import EntryCost, StepCost, cost_path, read_cost, write_cost
from benchmark.runs.cost_rounds import Measurement, is_done
from benchmark.runs.workbench import Workbench
from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.entries import ResolvedEntry
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.experiment.spec import Experiment
    from benchmark.machine.interrupt import StopSignal
    from benchmark.machine.locks import DeviceLock
    from benchmark.machine.ranks import Ranks
    from benchmark.runs.cost_rounds import CostOptions, CostReporter


def measure_costs(
    specs: Sequence[RunSpec],
    dataset: Dataset,
    folder: Path,
    options: CostOptions,
    reporter: CostReporter,
    stop_signal: StopSignal,
    ranks: Ranks,
    locks: Sequence[DeviceLock] = (),
) -> StepCost:
    """Measures the step costs of some entries, or goes on with the same measurement where it was left.

    Args:
        specs: a run of each entry, of any seed and budget.
        folder: the experiment's results folder; the record goes below it.

    Returns:
        The record, which is written.

    Raises:
        UserError: no entry trains, the reference is none, or the record cannot be written.
        Interrupted: the user interrupted; complete rounds are kept.
    """
    trained = list({spec.step_key: spec for spec in reversed(specs) if spec.method.trainable}.values())[::-1]
    if not trained:
        raise UserError("no entry trains anything, so that there is no cost to measure; choose others by --methods")
    cost = _begun(trained, dataset, options, ranks)
    path = cost_path(folder, cost)
    with writing(path, "choose another --out"), ExitStack() as stack:
        if not ranks.first(lambda: stack.enter_context(folder_lock(path.parent))):
            raise UserError(f"{path.parent}: another process is measuring into it; try again when it has ended")
        if ranks.is_first:  # removed while it is held, so that two processes never have it
            stack.callback(lambda: (path.parent / ".lock").unlink(missing_ok=True))
        cost = ranks.first(lambda: _continued(path, cost, options))
        if ranks.first(lambda: is_done(cost, options)):
            reporter.say(f"measured already, in {cost.rounds} rounds: {path}")
            if cost.status == "complete":
                return cost
            return ranks.first(lambda: write_cost(path, cost.model_copy(update={"status": "complete"})))
        with Workbench(dataset, ranks) as bench:
            measurement = Measurement(trained, cost, path, options, reporter, stop_signal, bench, locks)
            return measurement.carry_out()


def measure_experiment(
    experiment: Experiment,
    entries: Sequence[ResolvedEntry],
    dataset: Dataset,
    out: Path,
    options: CostOptions,
    device: str,
    reporter: CostReporter,
    stop_signal: StopSignal,
    *,
    share: bool = False,
    group: Ranks | None = None,
    check: Callable[[Sequence[RunSpec]], None] = lambda specs: None,
) -> StepCost:
    """Plans the runs of an experiment and measures their step costs on a device that this process locks meanwhile.

    Args:
        group: the processes that share each batch, seen from this one; None for this process alone.
        check: refuses what was planned, by raising.
    """
    with held(device, group, share=share) as (ranks, locks):
        specs = plan_runs(experiment, entries, dataset, ranks.device)
        check(specs)
        folder = out / experiment.name
        return measure_costs(specs, dataset, folder, options, reporter, stop_signal, ranks, locks)


def _begun(specs: Sequence[RunSpec], dataset: Dataset, options: CostOptions, ranks: Ranks) -> StepCost:
    """The record of a measurement before its first block."""
    experiment = specs[0].experiment
    names = [spec.entry.name for spec in specs]
    reference = options.against or experiment.declared_reference
    if options.against is not None and options.against not in names:
        raise UserError(f"--against: '{options.against}' is not measured; {nearest(options.against, names)}")
    kind, environment = hardware(ranks.device, ranks.size, experiment.precision), describe(ranks.device, ranks.size)
    same = {
        "hardware": kind.key,
        "code": [environment.commit, environment.dirty, environment.packages],
        "entries": sorted(spec.step_key for spec in specs),
    }
    digest = hashlib.blake2b(json.dumps(same, sort_keys=True).encode(), digest_size=16).hexdigest()
    return StepCost(
        id=digest,
        experiment=experiment.name,
        reference=reference if reference in names else names[0],
        block_seconds=options.block,
        dataset=dataset.record(),
        hardware=kind,
        environment=environment,
        entries=[_unmeasured(spec) for spec in specs],
        started=now(),
        ended=now(),
    )


def _unmeasured(spec: RunSpec) -> EntryCost:
    left_out = ("seed", "budget", "evaluation", "targets", "reference", "lr", "precision", "tags")
    return EntryCost(
        entry=spec.entry.name,
        method=spec.entry.method,
        backbone=spec.backbone.name,
        step_key=spec.step_key,
        config={name: value for name, value in spec.config().items() if name not in left_out},
        batch_size=spec.experiment.batch_size,
    )


def _continued(path: Path, cost: StepCost, options: CostOptions) -> StepCost:
    """The record that a file holds, with the reference that is wanted now; the new one where there is none.

    A complete record that is to be measured further, or had entries that failed, is kept under another name: runs may
    have its key in theirs.
    """
    if not path.is_file():
        return cost
    try:
        earlier = read_cost(path)
    except ValueError as error:
        raise UserError(f"{error}; move it away to measure anew") from None
    failed = any(entry.status != "measured" for entry in earlier.entries)
    continued = earlier
    if earlier.reference != cost.reference:
        continued = summarised(earlier.model_copy(update={"reference": cost.reference}))
    if earlier.status == "complete" and (failed or not is_done(continued, options)):
        path.rename(path.with_stem(f"{path.stem}-{earlier.key[:8]}"))
        return cost if failed else continued
    return continued
