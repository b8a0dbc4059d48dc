"""A worker: takes trials from the queues, entry by entry, until none is left, and runs a trial's seeds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from benchmark.errors import Interrupted, UserError
from benchmark.randomness import derive_seed
from benchmark.sweep.progress import Pace
from benchmark.sweep.space import FIRST, point_data, point_text
from benchmark.sweep.study import quiet
from benchmark.sweep.trial_runs import outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmark.records.schema import Record
    from benchmark.records.study import RunOutcome
    from benchmark.sweep.space import Point
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
    """

    studies: Sequence[EntryTrials]
    runs: TrialRuns
    base: dict[str, Any]
    name: str
    finished: Callable[[], object]
    say: Callable[[str], None]
    points: int
    failed: int = 0
    _current: tuple[EntryTrials, int] | None = None

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
        while not self._stopping:
            done = [self._try_one(queue) for queue in self.studies]  # one trial of each entry by turns (rule 13)
            if any(done):
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

    @property
    def _stopping(self) -> bool:
        return self.runs.stop_signal.requested

    def _try_one(self, queue: EntryTrials) -> bool:
        """Takes a trial from a queue and runs it; False where there was none."""
        queue.take_up_dead()
        if self._stopping or not queue.trials(TrialState.WAITING):
            return False
        sweep = queue.space.sweep
        begun = len(queue.trials()) - len(queue.trials(TrialState.WAITING))
        queue.study.sampler = _sampler(queue, derive_seed(sweep.seed, f"sweep/{queue.space.entry}/learned", begun))
        queue.study.pruner = _pruner(sweep.pruner, self.points, len(sweep.seeds))
        try:
            with quiet():
                queue.study.optimize(
                    lambda trial: self._run_trial(queue, trial), n_trials=1, catch=(RunFailedError, _QueueEmptyError)
                )
        except (Interrupted, UserError, KeyboardInterrupt):
            self._put_back()
            raise
        finally:
            self._current = None
            self.finished()
        self.say(f"trials: {self._pace.text(*self._decided())}")
        return True

    def _put_back(self) -> None:
        if self._current is not None:
            queue, number = self._current
            queue.put_back(number)

    def _run_trial(self, queue: EntryTrials, trial: Trial) -> float | tuple[float, float]:
        """The objective: mean validation linear top-1 of the seeds, and for two objectives their mean cost, too."""
        if "point" not in trial.user_attrs:
            raise _QueueEmptyError
        self._current = (queue, trial.number)
        trial.set_user_attr("worker", self.name)
        space = queue.space
        stored = {name: _suggest(trial, name, kind) for name, kind in space.distributions().items()}
        point = space.decoded(stored)
        label = f"{space.entry}, trial {trial.user_attrs['point']}"
        self.say(f"{label}: {point_text(point)}")
        runs: list[RunOutcome] = []
        for place, seed in enumerate(space.sweep.seeds):
            record = self._run(queue, trial, point, place, seed, label)
            run = outcome(record, self.runs.options.out, queue.folder)
            runs.append(run)
            trial.set_user_attr("runs", [found.model_dump(mode="json") for found in runs])
            if run.linear_top1 is None:
                self._end_without_score(trial, label, record)
        scores = [run.linear_top1 for run in runs if run.linear_top1 is not None]
        mean = sum(scores) / len(scores)
        self.say(f"{label}: validation linear {mean:.1f}% (mean of {len(scores)})")
        if space.sweep.sampler == "nsga2":
            return mean, sum(run.device_hours for run in runs) / len(runs)
        return mean

    def _run(self, queue: EntryTrials, trial: Trial, point: Point, place: int, seed: int, label: str) -> Record:
        def should_prune(scores: Mapping[str, float]) -> bool:
            # Steps count on over the seeds, so that trials are compared at the same seed and progress.
            step = place * self.points + max(0, round(scores["progress"] * self.points) - 1)
            trial.report(scores["knn20"], step)
            return trial.should_prune()

        spec = self.runs.plan(point_data(queue.space, self.base, point, [seed], label))
        pruned = {} if queue.space.sweep.pruner == "none" else {"should_prune": should_prune}
        return self.runs.run(spec, f"{label}, seed {seed}", **pruned)

    def _end_without_score(self, trial: Trial, label: str, record: Record) -> NoReturn:
        """A run without a score ends its trial: for good, unless it failed, which the next command tries again.

        Raises:
            optuna.TrialPruned: it was pruned, or diverged.
            RunFailedError: it failed.
        """
        message = f"seed {record.seed}: {record.status}" + (f" ({record.message})" if record.message else "")
        if record.status == "failed":
            self._fail(trial, label, message)
        self.say(f"{label}: {message}")
        trial.set_user_attr("message", message)
        raise optuna.TrialPruned(message)

    def _fail(self, trial: Trial, label: str, message: str) -> NoReturn:
        self.failed += 1
        self.say(f"{label}: {message}")
        trial.set_user_attr("message", message)
        raise RunFailedError(message)


def best_trial(queue: EntryTrials) -> FrozenTrial | None:
    """The complete trial with the highest mean; of equal ones the first point.

    Where the cost is an objective, too, of equal ones the cheapest: the most accurate point of the front.
    """
    complete = [trial for trial in queue.outcomes() if trial.state == TrialState.COMPLETE and trial.values]
    return max(complete, key=lambda trial: (trial.values[0], *(-cost for cost in trial.values[1:])), default=None)


def _suggest(trial: Trial, name: str, kind: BaseDistribution) -> Any:
    if isinstance(kind, CategoricalDistribution):
        return trial.suggest_categorical(name, kind.choices)
    if isinstance(kind, IntDistribution):
        return trial.suggest_int(name, kind.low, kind.high, step=kind.step, log=kind.log)
    assert isinstance(kind, FloatDistribution)
    return trial.suggest_float(name, kind.low, kind.high, step=kind.step, log=kind.log)


def _sampler(queue: EntryTrials, seed: int) -> BaseSampler:
    """A sampler for the next trial alone, so that it draws the same whichever process asks, and after a resume."""
    seed %= 2**32
    kind = queue.space.sweep.sampler
    if kind == "tpe":
        return TPESampler(seed=seed, n_startup_trials=FIRST)
    if kind == "gp":
        return GPSampler(seed=seed, n_startup_trials=FIRST)
    if kind == "nsga2":
        return NSGAIISampler(seed=seed, population_size=FIRST)
    return RandomSampler(seed=seed)  # never asked: all points are known


def _pruner(kind: str, points: int, seeds: int) -> BasePruner:
    """Prunes at the evaluation points, which count on over the seeds of a trial."""
    if kind == "median":
        return MedianPruner(n_startup_trials=4, n_warmup_steps=1)
    if kind == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=max(2, points * seeds))
    return NopPruner()
