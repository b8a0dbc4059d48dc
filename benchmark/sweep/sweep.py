"""A sweep from its file to its last run: checks, studies, workers, and the best point on fresh seeds."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from benchmark.errors import Interrupted
from benchmark.experiment.run_spec import resolve_precision
from benchmark.machine.code import own_code
from benchmark.machine.devices import choose_device
from benchmark.records.schema import TUNED, UNCHANGED, UNTUNED
from benchmark.records.study import STUDY_FILE
from benchmark.runs.runner import finished_record
from benchmark.sweep.export import export
from benchmark.sweep.progress import Pace
from benchmark.sweep.restore import decided_trials, recorded_study
from benchmark.sweep.storage import failures, open_storage
from benchmark.sweep.study import open_study, study_lock, worker_lock
from benchmark.sweep.trial_runs import SweepOptions, TrialRuns
from benchmark.sweep.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optuna.trial import FrozenTrial

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.machine.interrupt import StopSignal
    from benchmark.records.cost import StepCost
    from benchmark.records.study import StudyRecord
    from benchmark.sweep.space import ResolvedSweep, Space
    from benchmark.sweep.study import EntryTrials


class Confirmation(NamedTuple):
    """A run on a fresh seed, with its test, and two texts that describe it to the user."""

    spec: RunSpec
    label: str
    description: str


class Sweep:
    """A checked sweep with its studies open.

    Args:
        cost: the record that gives a calibrated budget its steps.

    Raises:
        UserError: the storage cannot be used, or holds another study of this name.
    """

    def __init__(
        self,
        resolved: ResolvedSweep,
        dataset: Dataset,
        options: SweepOptions,
        say: Callable[[str], None],
        stop_signal: StopSignal,
        cost: StepCost | None = None,
    ) -> None:
        self.resolved, self.dataset, self.options, self._say = resolved, dataset, options, say
        self.runs = TrialRuns(resolved.source, dataset, options, stop_signal, say, cost)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._signalled: list[subprocess.Popen[bytes]] = []
        self.folder = options.out / resolved.sweep.name
        storage = open_storage(options.storage, self.folder)
        precision = resolve_precision(resolved.experiment, choose_device(options.device)).precision
        step_cost = cost.key if cost else None
        with study_lock(self.folder), failures():
            recorded = recorded_study(self.folder)
            self.studies: list[EntryTrials] = [
                open_study(
                    *(storage, space, self.folder, precision, dataset, step_cost),
                    decided=partial(self._decided, recorded, space),
                )
                for space in resolved.spaces
            ]

    def _decided(self, recorded: StudyRecord | None, space: Space) -> list[FrozenTrial]:
        """The trials that a record has of an entry's study, for a storage that has none."""
        if recorded is None:
            return []
        points = self.resolved.experiment.evaluation.points
        trials = decided_trials(
            recorded, space, points, lambda point, seed: self.runs.plan(space.data(point, [seed])), self.folder
        )
        if trials:
            self._say(f"{space.entry}: {len(trials)} trials taken from {STUDY_FILE}; the storage had none")
        return trials

    def stop_workers(self) -> None:
        """Passes the user's interruption on to the processes that work beside this one."""
        for worker in self._workers:
            # A second signal would end it at once.
            if worker not in self._signalled and worker.poll() is None:
                self._signalled.append(worker)
                worker.send_signal(signal.SIGTERM)  # which ends one quietly that is still starting

    def write(self) -> StudyRecord:
        """Writes the study's table and record."""
        resolved = self.resolved
        with failures():
            return export(self.folder, resolved.sweep, resolved.experiment, self.dataset.name, self.studies)

    def work(self, *, wait: bool = True) -> int:
        """Runs trials in this process; how many failed.

        Raises:
            Interrupted: the user wants to stop.
            UserError: something the user can mend.
        """
        with worker_lock(self.folder) as name, failures():
            worker = Worker(
                studies=self.studies,
                runs=self.runs,
                name=name,
                finished=self.write,
                say=self._say,
                points=self.resolved.experiment.evaluation.points,
            )
            worker.work(wait=wait)
        return worker.failed

    def work_beside(self, count: int, arguments: Sequence[str]) -> None:
        """Starts processes that work on the studies, and waits for them.

        Args:
            arguments: of `bench sweep`, for each of them. A worker that fails leaves its trials in the queue.

        Raises:
            Interrupted: the user wants to stop.
        """
        command = [sys.executable, "-m", "benchmark", "sweep", *arguments]
        for _ in range(count):
            if not self.runs.stop_signal.requested:
                self._workers.append(subprocess.Popen(command, env=own_code(), start_new_session=True))
        if self.runs.stop_signal.requested:  # a signal that came while they were started
            self.stop_workers()
        for worker in self._workers:
            worker.wait()
        if self.runs.stop_signal.requested:
            with failures():  # so that a stopped study has no trial under way
                for queue in self.studies:
                    queue.take_up_dead()
            self.write()
            raise Interrupted

    def undecided(self) -> list[str]:
        """The entries that have trials to be run."""
        with failures():
            return [queue.space.entry for queue in self.studies if len(set(queue.decided())) > 1]

    def confirm(self, *, wait: bool = True, again: bool = True) -> int:
        """Trains each entry's best point on the fresh seeds, and tests it, once; how many runs failed.

        Of two objectives it is the front's most accurate point. With `confirm_recipe` the entry itself is trained, too.

        Args:
            wait: at last, for runs that other processes have, in case one of them dies.
            again: runs that have failed, too; of several workers nobody does, and their caller at last.

        Raises:
            Interrupted: the user wants to stop.
            UserError: something the user can mend.
        """
        runs = self._confirmations(self._say) if self.resolved.sweep.confirm_seeds else []
        left = self._missing(runs)
        if not again:
            left = [run for run in left if not (run.spec.folder(self.options.out) / "record.json").is_file()]
        pace, failed = Pace(len(runs) - len(left)), 0
        for waiting in (False, True) if wait else (False,):
            todo, left = left, []
            for run in todo:
                self._say(f"{run.label}: {run.description}, with its test")
                record = self.runs.attempt(run.spec, run.label, wait=waiting)
                if record is None:  # another process has it
                    left.append(run)
                    continue
                failed += record.status == "failed"
                done = len(runs) - len(self._missing(runs)) + failed
                self._say(f"on fresh seeds: {pace.text(min(done, len(runs)), len(runs))}")
        return failed

    def unconfirmed(self) -> int:
        """How many runs on fresh seeds are to be trained, as soon as all trials are done."""
        wanted = self.resolved.sweep.confirm_seeds and not self.undecided()
        return len(self._missing(self._confirmations(lambda _: None))) if wanted else 0

    def _missing(self, runs: list[Confirmation]) -> list[Confirmation]:
        return [run for run in runs if finished_record(self.options.out, run.spec) is None]

    def _confirmations(self, say: Callable[[str], None]) -> list[Confirmation]:
        if undecided := self.undecided():
            say(f"{', '.join(undecided)}: not all trials are done, so that no point is confirmed yet")
            return []
        with failures():
            best = [(queue, queue.best()) for queue in self.studies]
        for queue, trial in best:
            if trial is None:
                say(f"{queue.space.entry}: no trial is complete, so that there is nothing to confirm")
        return [  # one run of each entry by turns (rule 13)
            run
            for seed in self.resolved.sweep.confirm_seeds
            for queue, trial in best
            if trial
            for run in self._confirmation(queue, trial, seed)
        ]

    def _confirmation(self, queue: EntryTrials, best: FrozenTrial, seed: int) -> list[Confirmation]:
        """An entry's best point on a fresh seed and, if the sweep says so, the entry as its recipe has it."""
        space = queue.space
        point = space.decoded(best.params)
        tags = (TUNED, f"best of {len(queue.outcomes())} trials")
        tuned = self.runs.plan(space.data(point, [seed]), "result", tags)
        runs = [
            Confirmation(
                tuned,
                f"{space.name_of(point)}, fresh seed {seed}",
                "the front's most accurate point" if len(best.values) > 1 else "the best point",
            )
        ]
        if self.resolved.sweep.confirm_recipe:
            plain = self.runs.plan(space.data({}, [seed]), "result", (UNTUNED,))
            if plain.key == tuned.key:  # the same run
                return [runs[0]._replace(spec=replace(tuned, tags=(*tags, UNCHANGED)))]
            runs.append(Confirmation(plain, f"{space.entry}, fresh seed {seed}", "the recipe itself"))
        return runs
