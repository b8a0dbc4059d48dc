"""Writes a sweep down for readers that have neither Optuna nor torch: `study.json` and `trials.csv`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmark.files.disk import write_atomically
from benchmark.records.study import (
    STUDY_FILE,
    TRIALS_FILE,
    EntryStudy,
    ParameterRange,
    PublishedScore,
    RunOutcome,
    StudyRecord,
    TrialOutcome,
    trials_csv,
)
from benchmark.records.study import TrialState as State
from benchmark.sweep.storage import quiet
from benchmark.sweep.study import study_lock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmark.experiment.spec import Experiment
    from benchmark.sweep.spec import SweepSpec
    from benchmark.sweep.study import EntryTrials

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_ENOUGH = 8  # complete trials, below which importances say nothing


def export(
    folder: Path, sweep: SweepSpec, experiment: Experiment, dataset: str, studies: Sequence[EntryTrials]
) -> StudyRecord:
    """Writes both files from the storage's present state; never an older state over a newer one.

    Raises:
        UserError: the folder cannot be written.
    """
    with study_lock(folder):
        record = StudyRecord(
            name=sweep.name,
            description=sweep.description,
            experiment=experiment.name,
            dataset=dataset,
            budget=str(experiment.budget.rungs()[0]),
            sampler=sweep.sampler,
            pruner=sweep.pruner,
            seeds=list(sweep.seeds),
            # A study keeps its trials when it is resumed with fewer.
            trials_wanted=sum(max(len(queue.space.points()), len(queue.outcomes())) for queue in studies),
            confirm_seeds=list(sweep.confirm_seeds),
            published=[PublishedScore(**score.model_dump()) for score in sweep.published],
            studies=[_entry_study(queue) for queue in studies],
        )
        write_atomically(folder / STUDY_FILE, record.model_dump_json(indent=1) + "\n")
        write_atomically(folder / TRIALS_FILE, trials_csv(record))
    return record


def _entry_study(queue: EntryTrials) -> EntryStudy:
    return EntryStudy(
        entry=queue.space.entry,
        storage_name=queue.study.study_name,
        parameters={
            name: ParameterRange(
                values=spec.listed(),
                low=None if spec.low is None else float(spec.low),
                high=None if spec.high is None else float(spec.high),
                log=spec.log,
                reference=queue.space.references.get(name),
            )
            for name, spec in queue.space.parameters.items()
        },
        trials=[_trial(queue, trial) for trial in queue.outcomes()],
        importances=_importances(queue),
    )


def _trial(queue: EntryTrials, trial: FrozenTrial) -> TrialOutcome:
    point = queue.space.decoded(trial.params or trial.system_attrs.get("fixed_params", {}))
    return TrialOutcome(
        number=trial.number,
        point=trial.user_attrs["point"],
        state=_STATES[trial.state],
        entry=queue.space.name_of(point) if point else "",
        parameters=point,
        value=trial.values[0] if trial.state == TrialState.COMPLETE and trial.values else None,
        message=trial.user_attrs.get("message") or _died(trial),
        runs=[RunOutcome.model_validate(run) for run in trial.user_attrs.get("runs", [])],
    )


def _died(trial: FrozenTrial) -> str:
    """The message of a failed trial that left none: its worker died each time."""
    if trial.state != TrialState.FAIL:
        return ""
    times = len(trial.system_attrs.get("retry_history", [])) + 1
    return f"its process died ({times} times); the same command tries it again" if times > 1 else "its process died"


def _importances(queue: EntryTrials) -> dict[str, float]:
    """How much each parameter matters, as Optuna estimates it; empty where there are too few trials."""
    complete = [trial for trial in queue.trials(TrialState.COMPLETE) if trial.values]
    if len(queue.space.parameters) < 2 or len(complete) < _ENOUGH:
        return {}
    target: Any = (lambda trial: -trial.values[0]) if len(queue.study.directions) > 1 else None
    with quiet():
        try:
            importances = optuna.importance.get_param_importances(queue.study, target=target)
        except (ValueError, RuntimeError):  # all values are equal, for instance
            return {}
    return {name: value for name, value in importances.items() if math.isfinite(value)}
