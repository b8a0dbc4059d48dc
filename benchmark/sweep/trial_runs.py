"""The runs of a sweep's trials: each is planned, waits for a device, and is executed like any other."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.data.datasets import load_dataset
from benchmark.errors import Interrupted, UserError
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs, priced, run_specs
from benchmark.experiment.spec import validate_experiment
from benchmark.machine.devices import choose_device, take_device
from benchmark.machine.environment import hardware
from benchmark.machine.locks import DeviceInUseError
from benchmark.machine.ranks import Ranks
from benchmark.records.folder import run_folder
from benchmark.records.history import read_history
from benchmark.records.seal import HISTORY_FILE
from benchmark.records.study import RunOutcome
from benchmark.runs.prices import choose_cost
from benchmark.runs.run import ShouldPrune, never_prune
from benchmark.runs.runner import RunContext, RunOptions, execute
from benchmark.sweep.progress import TrialReporter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from benchmark.data.datasets import Dataset
    from benchmark.data.spec import DatasetSpec
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.interrupt import StopSignal
    from benchmark.machine.locks import DeviceLock
    from benchmark.records.cost import StepCost
    from benchmark.records.schema import Purpose, Record
    from benchmark.runs.prices import CostSource
    from benchmark.sweep.space import ResolvedSweep

STEP_CHANGES = (
    "a parameter of the sweep changes what a step costs, so that each point needs a price of its own; expected another "
    "kind of budget, or --costs with a record of all points"
)
_PAUSE = 0.5  # seconds between two looks at a device or a folder that another process has


@dataclass(frozen=True)
class SweepOptions:
    """Where studies are kept and how trials run; nothing here can change a score.

    Attributes:
        storage: of the studies; None for an SQLite file in the study's folder.
        share: use a device beside other processes, and mark the times.
        skip_bad: leave images out that cannot be used, instead of refusing them.
    """

    out: Path
    storage: str | None = None
    data: Path | None = None
    device: str = "auto"
    share: bool = False
    skip_bad: bool = False


@dataclass
class TrialRuns:
    """Executes runs of a sweep.

    Attributes:
        source: the experiment's file; recipes may be beside it.
        cost: the record that gives a calibrated budget its steps.
    """

    source: Path
    dataset: Dataset
    options: SweepOptions
    stop_signal: StopSignal
    say: Callable[[str], None]
    cost: StepCost | None = None
    _datasets: dict[str, Dataset] = field(default_factory=dict)

    def plan(self, data: dict[str, Any], purpose: Purpose = "trial", tags: tuple[str, ...] = ()) -> RunSpec:
        """The run that an experiment's raw data describe: one entry, one seed, one limit.

        Raises:
            UserError: no run would accept them.
        """
        experiment = validate_experiment(json.loads(json.dumps(data, default=str)), str(self.source))
        dataset = self._dataset(experiment.dataset)
        entries = resolve_entries(experiment, self.source)
        specs = plan_runs(experiment, entries, dataset, choose_device(self.options.device))
        try:
            (spec,) = priced(specs, self.cost)
        except UserError as error:
            raise UserError(f"{error}: {STEP_CHANGES}") from None
        return replace(spec, purpose=purpose, tags=tags)

    def run(self, spec: RunSpec, label: str, should_prune: ShouldPrune = never_prune) -> Record:
        """The record of a run, executed unless it is done; waits for another process that is running it.

        Raises: as `attempt`.
        """
        record = self.attempt(spec, label, should_prune, wait=True)
        assert record is not None
        return record

    def attempt(
        self, spec: RunSpec, label: str, should_prune: ShouldPrune = never_prune, *, wait: bool = False
    ) -> Record | None:
        """As `run`; without `wait`, None where another process is running it.

        Raises:
            Interrupted: the user wants to stop; the run's state is saved.
            UserError: something the user can mend.
        """
        reporter = TrialReporter(label, self.say)
        options = RunOptions(self.options.out, self.options.device, self.options.share)
        dataset = self._dataset(spec.experiment.dataset)
        with ExitStack() as stack:
            device, lock = self._take_device(stack, reporter)
            context = RunContext(dataset, options, Ranks(device), [lock], reporter, self.stop_signal, should_prune)
            while (record := execute(spec, context)) is None and wait:
                self._pause()
        return record

    def _dataset(self, spec: DatasetSpec) -> Dataset:
        """The base experiment's dataset, unless a parameter of the sweep changes it."""
        name = spec.model_dump_json()
        if name not in self._datasets:
            self._datasets = {name: load_dataset(spec, self.options.data, skip_bad=self.options.skip_bad)}
        return self._datasets[name]

    def _take_device(self, stack: ExitStack, reporter: TrialReporter) -> tuple[torch.device, DeviceLock]:
        """Takes a device as soon as one is free."""
        while not self.stop_signal.requested:
            try:
                return stack.enter_context(take_device(self.options.device, share=self.options.share))
            except DeviceInUseError:
                reporter.say("waiting for a device that another run uses")
                self._pause()
        raise Interrupted

    def _pause(self) -> None:
        if self.stop_signal.requested:
            raise Interrupted
        time.sleep(_PAUSE)


def sweep_cost(
    resolved: ResolvedSweep,
    specs: Sequence[RunSpec],
    dataset: Dataset,
    costs: CostSource,
    device: torch.device,
    say: Callable[[str], None],
) -> StepCost | None:
    """The one record that gives the calibrated budget of all trials its steps; None for other budgets.

    Args:
        specs: of every point that is known.

    Raises:
        UserError: no record prices all points.
    """
    base = run_specs(
        resolved.experiment,
        resolve_entries(resolved.experiment, resolved.source),
        dataset.image_size,
        dataset.manifest.digest,
    )
    if not {spec.step_key for spec in specs} <= {spec.step_key for spec in base}:
        costs = replace(costs, advice=STEP_CHANGES)
    return choose_cost(specs, costs, hardware(device, 1, specs[0].experiment.precision), say)


def outcome(record: Record, out: Path, study_folder: Path) -> RunOutcome:
    """The summary of a run that a study holds; the record's path is relative to the study's folder."""
    folder = run_folder(out, record.experiment, record.entry, record.seed, record.key)
    linear = knn = None
    if record.trial_metrics is not None:
        linear, knn = record.trial_metrics.scores.linear_top1, record.trial_metrics.scores.knn20
    elif record.metrics is not None:  # a result's kNN is the test split's
        linear = record.metrics.scores.linear_validation_top1
    ledger = record.ledger
    return RunOutcome(
        seed=record.seed,
        key=record.key,
        status=record.status,
        linear_top1=linear,
        knn20=knn,
        device_hours=ledger.device_hours if ledger else 0.0,
        total_hours=ledger.total_time * max(1, ledger.devices) / 3600 if ledger else 0.0,
        flags=record.flags,
        record=Path(os.path.relpath(folder / "record.json", study_folder)).as_posix(),
        curve=_curve(folder),
    )


def _curve(folder: Path) -> list[tuple[float, float, float]]:
    """Progress, linear top-1 and kNN-20 at the evaluation points; pruned runs have theirs in the history alone."""
    lines = read_history(folder / HISTORY_FILE)
    return [
        (line["progress"], line["linear_top1"], line["knn20"]) for line in lines if line.get("kind") == "evaluation"
    ]
