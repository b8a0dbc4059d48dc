"""A worker: takes trials from the queues, entry by entry, until none is left, and runs a trial's seeds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from benchmark.errors import Interrupted, UserError
from benchmark.randomness import derive_seed
from benchmark.runs.run import never_prune
from benchmark.sweep.progress import Pace
from benchmark.sweep.restore import pruning_step
from benchmark.sweep.space import FIRST, point_text
from benchmark.sweep.storage import failures, quiet
from benchmark.sweep.trial_runs import outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmark.records.schema import Record
    from benchmark.records.study import RunOutcome
    from benchmark.runs.run import ShouldPrune
    from benchmark.sweep.study import EntryTrials
    from benchmark.sweep.trial_runs import TrialRuns

_PAUSE = 1.0  # seconds between two looks at trials that other workers have


class RunFailedError(Exception):
    """A run ended without scores, for a reason that its record names."""


class _QueueEmptyError(Exception):
    """Another worker took the last trial in the meantime."""


@dataclass
class Worker:
    """Works on the studies of a sweep.

    Attributes:
        name: of this worker's lock.
        finished: called after every trial.
        points: evaluation points of a run.
        failed: how many trials failed here.
    """

    studies: Sequence[EntryTrials]
    runs: TrialRuns
    name: str
    finished: Callable[[], object]
    say: Callable[[str], None]
    points: int
    failed: int = 0
    _current: int | None = None  # the number of the trial under way

    def __post_init__(self) -> None:
        self._pace = Pace(self._decided()[0])

    def _decided(self) -> tuple[int, int]:
        counts = [queue.decided() for queue in self.studies]
        return sum(done for done, _ in counts), sum(points for _, points in counts)

    def work(self, *, wait: bool) -> None:
        """Runs trials until no queue holds one.

        Args:
            wait: for trials that other workers have, in case one of them dies.

        Raises:
            Interrupted: the user wants to stop; the trial under way is back in its queue.
            UserError: something the user can mend; likewise.
        """
        waiting = False
        while not self.runs.stop_signal.requested:
            # One trial of each entry by turns (rule 13).
            if any([self._run_next(queue) for queue in self.studies]):
                continue
            elsewhere = [(queue, trial) for queue in self.studies for trial in queue.trials(TrialState.RUNNING)]
            if not wait or not elsewhere:
                return
            if not all(queue.can_be_waited_for(trial) for queue, trial in elsewhere):
                self.say(f"trials under way on other machines, and left to those: {len(elsewhere)}")
                return
            if not waiting:
                self.say(f"waiting for trials that other workers have: {len(elsewhere)}")
            waiting = True
            time.sleep(_PAUSE)
        raise Interrupted

    def _run_next(self, queue: EntryTrials) -> bool:
        """Takes a trial from a queue and runs it; False where there was none."""
        queue.take_up_dead()
        if self.runs.stop_signal.requested or not queue.trials(TrialState.WAITING):
            return False
        sweep = queue.space.sweep
        # Points, not attempts at them: an interruption changes no later draw.
        begun = sum(trial.state != TrialState.WAITING for trial in queue.outcomes())
        queue.study.sampler = _sampler(
            sweep.sampler, derive_seed(sweep.seed, f"sweep/{queue.space.entry}/learned", begun)
        )
        queue.study.pruner = _pruner(sweep.pruner, self.points, len(sweep.seeds))
        try:
            with quiet():
                queue.study.optimize(
                    lambda trial: self._run_trial(queue, trial), n_trials=1, catch=(RunFailedError, _QueueEmptyError)
                )
        except (Interrupted, UserError, KeyboardInterrupt):
            if self._current is not None:
                queue.put_back(self._current)
            raise
        finally:
            self._current = None
            self.finished()
        self.say(f"trials: {self._pace.text(*self._decided())}")
        return True

    def _run_trial(self, queue: EntryTrials, trial: Trial) -> float | tuple[float, float]:
        """The objective: mean validation linear top-1 of the seeds, and for two objectives their mean cost, too."""
        if "point" not in trial.user_attrs:
            raise _QueueEmptyError
        self._current = trial.number
        trial.set_user_attr("worker", self.name)
        space = queue.space
        point = space.suggest(trial)
        label = f"{space.entry}, trial {trial.user_attrs['point']}"
        self.say(f"{label}: {point_text(point)}")
        runs: list[RunOutcome] = []
        scores: list[float] = []
        for place, seed in enumerate(space.sweep.seeds):
            spec = self.runs.plan(space.data(point, [seed]))
            should_prune = never_prune if space.sweep.pruner == "none" else self._pruning(trial, place)
            record = self.runs.run(spec, f"{label}, seed {seed}", should_prune)
            runs.append(outcome(record, self.runs.options.out, queue.folder))
            trial.set_user_attr("runs", [run.model_dump(mode="json") for run in runs])
            if runs[-1].linear_top1 is None:
                self._end_without_score(trial, label, record)
            scores.append(runs[-1].linear_top1)
        mean = sum(scores) / len(scores)
        self.say(f"{label}: validation linear {mean:.1f}% (mean of {len(scores)})")
        if space.sweep.sampler == "nsga2":
            return mean, sum(run.device_hours for run in runs) / len(runs)
        return mean

    def _pruning(self, trial: Trial, place: int) -> ShouldPrune:
        """Reports the scores of a trial's run to the pruner; `place` is the number of its seed."""

        def should_prune(scores: Mapping[str, float]) -> bool:
            with failures():  # of the storage, which are not the run's
                trial.report(scores["knn20"], pruning_step(place, scores["progress"], self.points))
                return trial.should_prune()

        return should_prune

    def _end_without_score(self, trial: Trial, label: str, record: Record) -> NoReturn:
        """Ends a trial whose run has no score: for good, unless the run failed, which the next command tries again.

        Raises:
            optuna.TrialPruned: it was pruned, or diverged.
            RunFailedError: it failed.
        """
        message = f"seed {record.seed}: {record.status}" + (f" ({record.message})" if record.message else "")
        self.say(f"{label}: {message}")
        trial.set_user_attr("message", message)
        if record.status == "failed":
            self.failed += 1
            raise RunFailedError(message)
        raise optuna.TrialPruned(message)


def _sampler(kind: str, seed: int) -> BaseSampler:
    """A sampler for the next trial alone, so that it draws the same in every process, and after resuming."""
    seed %= 2**32
    if kind == "tpe":
        return TPESampler(seed=seed, n_startup_trials=FIRST)
    if kind == "gp":
        return GPSampler(seed=seed, n_startup_trials=FIRST)
    if kind == "nsga2":
        return NSGAIISampler(seed=seed, population_size=FIRST)
    return RandomSampler(seed=seed)  # draws nothing: all points are known


def _pruner(kind: str, points: int, seeds: int) -> BasePruner:
    """Prunes at the evaluation points, which count on over the seeds of a trial."""
    if kind == "median":
        return MedianPruner(n_startup_trials=4, n_warmup_steps=1)
    if kind == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=max(2, points * seeds))
    return NopPruner()
