"""The study of one entry: what it must agree with when it is resumed, its queue of trials, and its workers' locks."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmark.data.inventory import changes, keep_inventory
from benchmark.errors import UserError
from benchmark.experiment.files import merge
from benchmark.files.disk import writing
from benchmark.records.locks import folder_lock
from benchmark.runs.claim import first_difference
from benchmark.sweep.spec import ParameterSpec
from benchmark.sweep.storage import GRACE, BegunFirst, quiet, retry_dead, without_worker
from methods.backbone_spec import BackboneSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.sweep.space import Space

_LIVE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING)
_PATIENCE = 60.0  # seconds for another process that creates the same study
_WORKERS = ".workers"


@dataclass(frozen=True)
class EntryTrials:
    """One entry's study in a storage, and its queue.

    Attributes:
        folder: of the study's results, where the workers' locks lie.
        heartbeat: whether the storage records signs of life of running trials.
    """

    space: Space
    study: optuna.Study
    folder: Path
    heartbeat: bool

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials that are points of the sweep, in order; of all states by default."""
        trials = self.study.get_trials(deepcopy=False, states=states or None)
        return [trial for trial in trials if "point" in trial.user_attrs]

    def outcomes(self) -> list[FrozenTrial]:
        """One trial per point, in the order of the points: the one that came furthest, of equal ones the last."""
        order = (*_LIVE, TrialState.FAIL)
        best: dict[int, FrozenTrial] = {}
        for trial in sorted(self.trials(), key=lambda trial: (order.index(trial.state), -trial.number)):
            best.setdefault(trial.user_attrs["point"], trial)
        return [best[point] for point in sorted(best)]

    def decided(self) -> tuple[int, int]:
        """How many points have their final outcome, with or without a value, and how many points there are."""
        states = [trial.state for trial in self.outcomes()]
        return sum(state in (TrialState.COMPLETE, TrialState.PRUNED) for state in states), len(states)

    def best(self) -> FrozenTrial | None:
        """The complete trial with the highest mean; of equal ones the first point.

        Where the cost is an objective, too, of equal ones the cheapest: the most accurate point of the front.
        """
        complete = [trial for trial in self.outcomes() if trial.state == TrialState.COMPLETE and trial.values]
        return max(complete, key=lambda trial: (trial.values[0], *(-cost for cost in trial.values[1:])), default=None)

    def top_up(self) -> None:
        """Queues every point that has no trial, and those whose trial failed."""
        alive = {trial.user_attrs["point"] for trial in self.trials(*_LIVE)}
        for number, point in enumerate(self.space.points()):
            if number not in alive:
                fixed = {} if point is None else {"fixed_params": self.space.encoded(point)}
                waiting = create_trial(state=TrialState.WAITING, user_attrs={"point": number}, system_attrs=fixed)
                self.study.add_trial(waiting)

    def take_up_dead(self) -> None:
        """Queues the trials of dead workers again: their lock is free, or their heartbeat has stopped."""
        with quiet():
            optuna.storages.fail_stale_trials(self.study)
        for trial in self.trials(TrialState.RUNNING):
            if self._is_dead(trial):
                with suppress(UpdateFinishedTrialError, ValueError), quiet():  # another worker was faster
                    self.study.tell(trial.number, state=TrialState.FAIL)
                    retry_dead(self.study, self.study.trials[trial.number])
                _remove_lock(self.folder / _WORKERS / str(trial.user_attrs.get("worker")))

    def put_back(self, number: int) -> None:
        """Queues a trial of this worker again that was interrupted."""
        if self.study.trials[number].state == TrialState.RUNNING:  # interrupted before Optuna could record a failure
            with quiet():
                self.study.tell(number, state=TrialState.FAIL)
        trial = without_worker(self.study.trials[number])
        if trial.state == TrialState.FAIL:
            waiting = create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=trial.user_attrs,
                system_attrs=trial.system_attrs,
                intermediate_values=trial.intermediate_values,
            )
            self.study.add_trial(waiting)

    def _is_dead(self, trial: FrozenTrial) -> bool:
        """Whether the worker of a running trial is known to have ended; on another machine nobody can know."""
        worker = trial.user_attrs.get("worker")
        if worker is None:  # killed before it could write its name
            return datetime.now() - (trial.datetime_start or datetime.now()) > timedelta(seconds=GRACE)
        lock = self.folder / _WORKERS / worker
        if not lock.is_dir():
            return False
        with folder_lock(lock) as free:
            return free is not None

    def can_be_waited_for(self, trial: FrozenTrial) -> bool:
        """Whether a running trial will end or be known to be dead: its worker has a lock here or a heartbeat."""
        worker = trial.user_attrs.get("worker")
        return self.heartbeat or (worker is not None and (self.folder / _WORKERS / worker).is_dir())


def open_study(
    storage: BaseStorage,
    space: Space,
    folder: Path,
    precision: str,
    dataset: Dataset,
    step_cost: str | None = None,
    decided: Callable[[], list[FrozenTrial]] = list,
) -> EntryTrials:
    """The study of one entry, created with its queue, or resumed.

    Args:
        folder: of the study's results, where the workers' locks lie.
        precision: that every run has, resolved.
        step_cost: key of the record that gives a calibrated budget its steps.
        decided: trials of another storage that a new one begins with.

    Raises:
        UserError: the storage holds a study under this name that differs in more than its number of trials.
    """
    name = f"{space.sweep.name}.{space.entry}"
    costs = [StudyDirection.MINIMIZE] if space.sweep.sampler == "nsga2" else []
    identity, defaults = _identity(space, precision, dataset)
    if step_cost is not None:
        identity["step_cost"] = step_cost
    with quiet():
        try:
            optuna.create_study(storage=storage, study_name=name, directions=[StudyDirection.MAXIMIZE, *costs])
            study = BegunFirst(name, storage)
        except DuplicatedStudyError:
            study = BegunFirst(name, storage)
            _wait_until_ready(study)
    before = study.user_attrs.get("asked")
    if before is not None:
        before = {**before, "experiment": {k: v for k, v in before["experiment"].items() if k != "recipe"}}
    difference = None if before is None else first_difference(merge(defaults, before), identity)
    if difference is not None:
        key, stored, wanted = difference
        changed = changes(folder, dataset.inventory) if key == "manifest" else ""
        raise UserError(
            f"the storage holds another study '{name}': {key} is {stored!r} there and {wanted!r} here"
            f"{f' ({changed})' if changed else ''}; "
            "give this one a name of its own with --study NAME"
        )
    trials = EntryTrials(space, study, folder, heartbeat=isinstance(storage, RDBStorage))
    keep_inventory(folder, dataset.inventory, renew=before is None)
    with quiet():
        study.set_user_attr("asked", identity)
        if not trials.trials():
            study.add_trials(decided())
        trials.top_up()
        study.set_user_attr("ready", True)
    return trials


def _identity(space: Space, precision: str, dataset: Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a study may not change when it is resumed, and the defaults of keys that an earlier version did not write.

    Its number of trials and its other entries are not part of it.
    """
    _, (first,) = space.resolve(space.examples()[0])
    varied = ("entries", "seeds", "reference", "targets", "cluster", "recipe")  # `first` has the recipe's settings
    experiment = {key: value for key, value in space.base.data.items() if key not in varied}
    identity = {
        "experiment": {**experiment, "name": None, "description": None},
        "first": first.settings.model_dump(mode="json"),
        "backbone": first.backbone.model_dump(mode="json"),
        "precision": precision,
        "manifest": dataset.manifest.digest,
        "image_size": dataset.image_size,
        "parameters": {name: spec.model_dump(mode="json") for name, spec in space.parameters.items()},
        "sampler": [space.sweep.sampler, space.sweep.seed],
        "pruner": space.sweep.pruner,
        "seeds": list(space.sweep.seeds),
    }
    defaults = {
        "first": type(first.settings).model_construct().model_dump(mode="json", warnings=False),
        "backbone": BackboneSpec().model_dump(mode="json"),
        "parameters": {name: ParameterSpec.model_construct().model_dump(mode="json") for name in space.parameters},
    }
    return json.loads(json.dumps(identity, default=str)), json.loads(json.dumps(defaults, default=str))


def _wait_until_ready(study: optuna.Study) -> None:
    """Waits for the process that creates the study to fill its queue, unless that process has died."""
    end = time.monotonic() + _PATIENCE / 2
    while not study.user_attrs.get("ready") and time.monotonic() < end:
        time.sleep(0.2)


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Holds the study's folder while its queue or its tables are written.

    Raises:
        UserError: another process holds it for very long, or it cannot be written.
    """
    with writing(folder, "choose another --out"), folder_lock(folder, wait=_PATIENCE) as mine:
        if not mine:
            raise UserError(f"{folder}: another process holds it; try again later")
        yield


@contextmanager
def worker_lock(folder: Path) -> Iterator[str]:
    """A name for this process, and a lock that is free again as soon as the process has ended, however it ends."""
    name = uuid.uuid4().hex[:12]
    place = folder / _WORKERS / name
    with folder_lock(place):
        try:
            yield name
        finally:
            _remove_lock(place)


def _remove_lock(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):
        place.parent.rmdir()  # fails while another worker has its lock there
