"""A sweep from its file to its last run: checks, studies, workers, and the best point on fresh seeds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import benchmark
from benchmark.errors import Interrupted
from benchmark.experiment.run_spec import resolve_precision
from benchmark.machine.devices import choose_device
from benchmark.runs.runner import finished_record
from benchmark.sweep.confirm import Confirming
from benchmark.sweep.export import export
from benchmark.sweep.progress import Pace
from benchmark.sweep.question import Question, question
from benchmark.sweep.space import resolve_point
from benchmark.sweep.study import failures, open_storage, open_study, study_lock, worker_lock
from benchmark.sweep.trial_runs import SweepOptions, TrialRuns
from benchmark.sweep.worker import Worker, best_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmark.data.datasets import Dataset
    from benchmark.machine.interrupt import StopSignal
    from benchmark.records.study import StudyRecord
    from benchmark.sweep.resolve import ResolvedSweep
    from benchmark.sweep.space import Space
    from benchmark.sweep.study import EntryTrials


class Sweep:
    """A checked sweep with its studies open.

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
    ) -> None:
        self.resolved, self.dataset, self.options, self._say = resolved, dataset, options, say
        self.runs = TrialRuns(resolved.source, dataset, options, stop_signal, say)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._signalled: list[subprocess.Popen[bytes]] = []
        self.folder = options.out / resolved.sweep.name
        storage = open_storage(options.storage, self.folder)
        multi = resolved.sweep.sampler == "nsga2"
        with study_lock(self.folder), failures():
            self.studies: list[EntryTrials] = [
                open_study(storage, space, self.folder, self._question(space), multi=multi) for space in resolved.spaces
            ]

    def _question(self, space: Space) -> Question:
        resolved = self.resolved
        _, (first,) = resolve_point(space, resolved.base, resolved.source, space.examples()[0], resolved.where)
        precision = resolve_precision(resolved.experiment, choose_device(self.options.device)).precision
        return question(space, resolved.base, first, precision, self.dataset)

    def stop_workers(self) -> None:
        """Passes the user's interruption on to the processes that work beside this one."""
        for worker in self._workers:
            # A second signal would end it at once.
            if worker not in self._signalled and worker.poll() is None:
                self._signalled.append(worker)
                worker.send_signal(signal.SIGINT)

    def write(self) -> StudyRecord:
        """Writes what readers want to know."""
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
                base=self.resolved.base,
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
            arguments: of `bench sweep` for each; what a worker cannot do is left to `work`, which says why.

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
            self._tidy()
            raise Interrupted

    def _tidy(self) -> None:
        """Queues what workers left that were killed, so that a stopped study has no trial under way."""
        with failures():
            for queue in self.studies:
                queue.take_up_dead()
        self.write()

    def confirm(self) -> int:
        """Trains each entry's best point on the fresh seeds, and tests it, once; how many runs failed.

        Of two objectives it is the front's most accurate point. With `confirm_recipe` the entry itself stands beside.

        Raises:
            Interrupted: the user wants to stop.
            UserError: something the user can mend.
        """
        seeds = self.resolved.sweep.confirm_seeds
        if not seeds:
            return 0
        with failures():
            undecided = [queue for queue in self.studies if not queue.is_decided()]
            best = [(queue, best_trial(queue)) for queue in self.studies]
        if undecided:
            names = ", ".join(queue.space.entry for queue in undecided)
            self._say(f"{names}: not all trials are done, so that no point is confirmed yet")
            return 0
        for queue, trial in best:
            if trial is None:
                self._say(f"{queue.space.entry}: no trial is complete, so that there is nothing to confirm")
        # One run of each entry by turns (rule 13).
        fresh = Confirming(self.resolved, self.runs)
        runs = [run for seed in seeds for queue, trial in best if trial for run in fresh.runs(queue, trial, seed)]
        missing = [run for run in runs if finished_record(self.options.out, run.spec) is None]
        done = len(runs) - len(missing)
        pace, failed = Pace(done), 0
        for run in missing:
            self._say(f"{run.label}: {run.which}, with its test")
            failed += self.runs.run(run.spec, run.label).status == "failed"
            done += 1
            self._say(f"on fresh seeds: {pace.text(done, len(runs))}")
        return failed


def own_code() -> dict[str, str]:
    """The environment of a process that runs this very code, whatever else is installed or lies in the folder."""
    root = str(Path(benchmark.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
