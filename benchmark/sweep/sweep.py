"""A sweep from its file to its last run: checks, studies, workers, and the best point on fresh seeds."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.experiment.explain import with_settings
from benchmark.experiment.files import set_key
from benchmark.experiment.run_spec import check_batch, plan_runs, resolve_precision
from benchmark.experiment.spec import override, read_experiment, validate_experiment
from benchmark.machine.devices import choose_device
from benchmark.sweep.confirm import Confirming
from benchmark.sweep.export import export
from benchmark.sweep.job import Job
from benchmark.sweep.question import Question, question
from benchmark.sweep.space import point_text, resolve_point, spaces
from benchmark.sweep.study import failures, open_storage, open_study, study_lock, worker_lock
from benchmark.sweep.supervise import RunFailedError, StoppedError, Supervisor, outcome, own_code
from benchmark.sweep.telling import Pace, Telling
from benchmark.sweep.worker import Worker, best_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.spec import Experiment
    from benchmark.records.schema import Purpose
    from benchmark.records.study import StudyRecord
    from benchmark.sweep.confirm import Confirmation
    from benchmark.sweep.space import Space
    from benchmark.sweep.spec import SweepSpec
    from benchmark.sweep.study import EntryTrials


@dataclass(frozen=True)
class SweepOptions:
    """Where and how, none of which can change a score.

    Attributes:
        out: the results folder.
        storage: of the studies; None for an SQLite file in the study's folder.
        data: folder of the dataset's files.
        device: as for `bench run`.
        share: use a device beside others, and mark the times.
    """

    out: Path
    storage: str | None = None
    data: Path | None = None
    device: str = "auto"
    share: bool = False


@dataclass(frozen=True)
class ResolvedSweep:
    """A sweep, read and checked as far as that goes without data.

    Attributes:
        sweep: what is asked.
        base: the experiment's raw data, with all settings.
        experiment: the same, validated.
        source: the experiment's file.
        spaces: one per entry.
        where: the sweep's file, for errors.
    """

    sweep: SweepSpec
    base: dict[str, Any]
    experiment: Experiment
    source: Path
    spaces: list[Space]
    where: str


def ask(sweep: SweepSpec, path: Path, *, budget: str | None, settings: Sequence[str]) -> ResolvedSweep:
    """Resolves a sweep's experiment and every point that can be known before the first trial.

    Args:
        sweep: what is asked.
        path: its file.
        budget: replaces the experiment's.
        settings: `a.b=value` each, on top of the file's.

    Raises:
        UserError: a key is unknown, or a value is one that no run would accept.
    """
    raw, source = read_experiment(sweep.experiment, path.parent)
    for key, value in sweep.settings.items():
        set_key(raw, key, value, f"{path}: settings.{key}")

    def read(settings: Sequence[str]) -> ResolvedSweep:
        base = copy.deepcopy(raw)
        override(base, budget, settings)
        experiment = validate_experiment(base, str(source))
        _check_pruner(sweep, experiment.evaluation.points, str(path))
        found = spaces(sweep, base, str(path))
        for space in found:
            for point in space.examples():
                resolve_point(space, base, source, point, str(path))
        return ResolvedSweep(sweep, base, experiment, source, found, str(path))

    return with_settings(read, settings, path, source)


def _check_pruner(sweep: SweepSpec, points: int, where: str) -> None:
    """Refuses a pruner that would never be asked: neither at the first evaluation point nor at a run's end."""
    if sweep.pruner != "none" and (points < 2 or points * len(sweep.seeds) < 3):
        raise UserError(
            f"{where}: pruner is '{sweep.pruner}', but evaluation.points is {points}, too few for a run to be given up "
            "before its end; expected at least 3, for instance --set evaluation.points=5"
        )


def check_on(asked: ResolvedSweep, dataset: Dataset) -> None:
    """The rest of the check, for which the images' size and number have to be known.

    Raises:
        UserError: no run would accept a point.
    """
    for space in asked.spaces:
        for point in space.examples():
            experiment, entries = resolve_point(space, asked.base, asked.source, point, asked.where)
            try:
                check_batch(experiment, plan_runs(experiment, entries, dataset.image_size), dataset)
            except UserError as error:
                raise UserError(f"{asked.where}: with {point_text(point)}: {error}") from None


class Sweep:
    """A checked sweep with its studies open.

    Args:
        asked: what is asked.
        dataset: the base experiment's.
        options: where and how.
        say: a line for the user.

    Raises:
        UserError: the storage cannot be used, or holds another study of this name.
    """

    def __init__(
        self, asked: ResolvedSweep, dataset: Dataset, options: SweepOptions, say: Callable[[str], None]
    ) -> None:
        self.asked, self.dataset, self.options, self._say = asked, dataset, options, say
        self.supervisor = Supervisor()
        self._workers: list[subprocess.Popen[bytes]] = []
        self._told: list[subprocess.Popen[bytes]] = []
        self.folder = options.out / asked.sweep.name
        storage = open_storage(options.storage, self.folder)
        multi = asked.sweep.sampler == "nsga2"
        with study_lock(self.folder), failures():
            self.studies: list[EntryTrials] = [
                open_study(storage, space, self.folder, self._question(space), multi=multi) for space in asked.spaces
            ]

    def _question(self, space: Space) -> Question:
        asked = self.asked
        _, (first,) = resolve_point(space, asked.base, asked.source, space.examples()[0], asked.where)
        precision = resolve_precision(asked.experiment, choose_device(self.options.device)).precision
        return question(space, asked.base, first, precision, self.dataset)

    def stop(self) -> None:
        """Passes the user's wish to stop on to whatever is under way."""
        self.supervisor.stop()
        for worker in self._workers:
            # A second signal would end it at once.
            if worker not in self._told and worker.poll() is None:
                self._told.append(worker)
                worker.send_signal(signal.SIGINT)

    def write(self) -> StudyRecord:
        """Writes what readers want to know."""
        asked = self.asked
        with failures():
            return export(self.folder, asked.sweep, asked.experiment, self.dataset.name, self.studies)

    def work(self, *, wait: bool = True) -> int:
        """Carries out trials in this process; how many failed.

        Raises:
            StoppedError: the user wants to stop.
            UserError: something the user can mend.
        """
        with worker_lock(self.folder) as name, failures():
            worker = Worker(
                studies=self.studies,
                supervisor=self.supervisor,
                job=self._job,
                base=self.asked.base,
                name=name,
                finished=self.write,
                say=self._say,
                points=self.asked.experiment.evaluation.points,
            )
            worker.work(wait=wait)
        return worker.failed

    def work_beside(self, count: int, arguments: Sequence[str]) -> None:
        """Has so many processes of their own work on the studies, and waits for them.

        Args:
            count: of processes.
            arguments: of `bench sweep` for each; what one of them cannot do is left to `work`, which says why.

        Raises:
            StoppedError: the user wants to stop.
        """
        command = [sys.executable, "-m", "benchmark", "sweep", *arguments]
        for _ in range(count):
            if not self.supervisor.stopping:
                self._workers.append(subprocess.Popen(command, env=own_code(), start_new_session=True))
        if self.supervisor.stopping:  # a signal that came while they were started
            self.stop()
        for worker in self._workers:
            worker.wait()
        if self.supervisor.stopping:
            self._tidy()
            raise StoppedError

    def _tidy(self) -> None:
        """Queues what workers left that were killed, so that a stopped study has no trial under way."""
        with failures():
            for one in self.studies:
                one.take_up_dead()
        self.write()

    def confirm(self) -> int:
        """Trains each entry's best point on the fresh seeds, and tests it, once; how many runs failed.

        Of two objectives it is the front's most accurate point. With `confirm_recipe` the entry itself stands beside.

        Raises:
            StoppedError: the user wants to stop.
            UserError: something the user can mend.
        """
        seeds = self.asked.sweep.confirm_seeds
        if not seeds:
            return 0
        with failures():
            open_ones = [one for one in self.studies if not one.is_decided()]
            best = [(one, best_trial(one)) for one in self.studies]
        if open_ones:
            names = ", ".join(one.space.entry for one in open_ones)
            self._say(f"{names}: not all trials are done, so that no point is confirmed yet")
            return 0
        for one, trial in best:
            if trial is None:
                self._say(f"{one.space.entry}: no trial is complete, so that there is nothing to confirm")
        # One run of each entry by turns (rule 13).
        fresh = Confirming(self.asked, self.dataset, self.options)
        runs = [run for seed in seeds for one, trial in best if trial for run in fresh.runs(one, trial, seed)]
        open_runs = [run for run in runs if not fresh.is_tested(run)]
        done = len(runs) - len(open_runs)
        pace, telling, failed = Pace(done), Telling(self._say), 0
        for run in open_runs:
            failed += self._confirm(run, telling)
            done += 1
            self._say(f"on fresh seeds: {pace.text(done, len(runs))}")
        return failed

    def _confirm(self, run: Confirmation, telling: Telling) -> bool:
        """Whether the run failed."""
        self._say(f"{run.label}: {run.which}, with its test")
        try:
            folder = self.supervisor.run(
                self._job(run.data, "result", run.tags), lambda message: telling(run.label, message), lambda *_: False
            )
        except RunFailedError as error:
            self._say(f"{run.label}: {error}")
            return True
        _, record = outcome(folder, self.folder)
        return record.status == "failed"

    def _job(self, data: dict[str, Any], purpose: Purpose, tags: tuple[str, ...]) -> Job:
        options = self.options
        return Job(
            experiment=json.loads(json.dumps(data, default=str)),
            source=str(self.asked.source),
            out=str(options.out),
            data=None if options.data is None else str(options.data),
            device=options.device,
            share=options.share,
            purpose=purpose,
            tags=tags,
            judged=purpose == "trial" and self.asked.sweep.pruner != "none",
            parent=os.getpid(),
        )
