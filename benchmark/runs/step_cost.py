"""Measures what a training step of each entry costs: short blocks in turns, round after round (rules 29 to 32).

A measurement is written after every round, resumes from there, and ends when it is precise enough.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmark.cost.budget import Budget
from benchmark.cost.step_cost import summarised
from benchmark.errors import GroupLostError, Interrupted, UserError
from benchmark.experiment.run_spec import plan_runs
from benchmark.files.disk import writing
from benchmark.machine.code import code_state
from benchmark.machine.environment import describe, hardware, now
from benchmark.machine.ranks import held
from benchmark.records.cost import EntryCost, StepCost, cost_path, read_cost, write_cost
from benchmark.records.locks import folder_lock
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
    """Measures the step costs of some entries, resuming the same measurement if it was interrupted.

    Args:
        specs: runs of the entries, of any seeds and budgets; the first of each entry is taken.
        folder: the experiment's results folder; the record goes below it.

    Returns:
        The record, which is written.

    Raises:
        UserError: no entry trains, the reference is none, or the record cannot be written.
        Interrupted: the user interrupted; complete rounds are kept.
    """
    runs: dict[str, RunSpec] = {}
    for spec in specs:
        if spec.method.trainable:
            runs.setdefault(spec.entry.name, _without_price(spec))
    trained = list(runs.values())
    if not trained:
        raise UserError("no entry trains anything, so that there is no cost to measure; choose others by --methods")
    cost = _begun(trained, dataset, options, ranks)
    path = cost_path(folder, cost)
    with ExitStack() as stack:
        if not ranks.first(lambda: _lock(path, stack)):
            raise UserError(f"{path}: another process is measuring it; try again when it has ended")
        cost = ranks.first(lambda: _continued(path, cost, options))
        if ranks.first(lambda: is_done(cost, options)):
            reporter.say(f"measured already, in {cost.rounds} rounds: {path}")
            return cost
        bench = stack.enter_context(Workbench(dataset, ranks))
        measurement = Measurement(trained, cost, path, options, reporter, stop_signal, bench, locks)
        return _together(ranks, measurement.carry_out)


def _without_price(spec: RunSpec) -> RunSpec:
    """A run whose budget needs no price: a calibrated one, which this measurement is for, is replaced."""
    return replace(spec, budget=Budget("steps", 1000)) if spec.budget.is_calibrated else spec


def _lock(path: Path, stack: ExitStack) -> bool:
    """Locks a record against other processes; whether it could. Other machines measure into the same folder."""
    place = path.with_name(f".{path.stem}")
    stack.callback(_remove_empty, place)
    with writing(path.parent, "choose another --out"):
        if not stack.enter_context(folder_lock(place)):
            return False
    stack.callback(lambda: (place / ".lock").unlink(missing_ok=True))  # while it is held
    return True


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # another process holds it
        folder.rmdir()


def _together(ranks: Ranks, work: Callable[[], StepCost]) -> StepCost:
    """The result of work that all ranks do; where one of them fails alone, the others notice."""
    if ranks.size == 1:
        return work()
    ranks.begin_run()
    try:
        result = work()
    except (Interrupted, UserError):
        ranks.finish_run(False)
        raise
    except Exception as error:
        if ranks.finish_run(False) is None:
            raise GroupLostError(f"a device's process has ended ({type(error).__name__}: {error})") from error
        raise
    ranks.finish_run(False)
    return result


def measure_experiment(
    experiment: Experiment,
    entries: Sequence[ResolvedEntry],
    dataset: Dataset,
    folder: Path,
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
        folder: the experiment's results folder.
        group: the processes that share each batch, seen from this one; None for this process alone.
        check: refuses what was planned, by raising.
    """
    with held(device, group, share=share) as (ranks, locks):
        specs = plan_runs(experiment, entries, dataset, ranks.device)
        check(specs)
        return measure_costs(specs, dataset, folder, options, reporter, stop_signal, ranks, locks)


def _begun(specs: Sequence[RunSpec], dataset: Dataset, options: CostOptions, ranks: Ranks) -> StepCost:
    """The record of a measurement before its first block."""
    experiment = specs[0].experiment
    # Entries that cost the same are measured once, under the name of the first.
    names = {spec.step_key: spec.entry.name for spec in reversed(specs)}
    alike = {spec.entry.name: names[spec.step_key] for spec in specs}
    wanted = options.against or experiment.declared_reference or ""
    if options.against is not None and wanted not in alike:
        raise UserError(f"--against: '{wanted}' is not measured; {nearest(wanted, alike)}")
    kind, environment = hardware(ranks.device, ranks.size, experiment.precision), describe(ranks.device, ranks.size)
    same = {
        "hardware": kind.key,
        "code": [code_state(), environment.packages, environment.driver],
        "entries": sorted(names),
    }
    digest = hashlib.blake2b(json.dumps(same, sort_keys=True).encode(), digest_size=16).hexdigest()
    return StepCost(
        id=digest,
        experiment=experiment.name,
        reference=alike.get(wanted, specs[0].entry.name),
        block_seconds=options.block,
        dataset=dataset.record(),
        hardware=kind,
        environment=environment,
        entries=[_unmeasured(spec) for spec in specs if spec.entry.name in names.values()],
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
    same = earlier.reference == cost.reference
    continued = earlier if same else summarised(earlier.model_copy(update={"reference": cost.reference}))
    failed = any(entry.status != "measured" for entry in earlier.entries)
    done = is_done(continued, options)
    with writing(path, "choose another --out"):
        if earlier.status != "complete":
            return write_cost(path, continued.model_copy(update={"status": "complete"})) if done else continued
        if done and not failed:
            return continued  # another reference changes nothing in the file
        path.rename(path.with_stem(f"{path.stem}-{earlier.key[:8]}"))
        continued = cost if failed else continued.model_copy(update={"status": "unfinished"})
        return write_cost(path, continued)
