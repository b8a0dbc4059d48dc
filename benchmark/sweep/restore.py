"""Brings a study back from its record, where the storage that held it is lost or was left on another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmark.errors import UserError
from benchmark.records.study import STUDY_FILE, read_study

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.experiment.run_spec import RunSpec
    from benchmark.records.study import RunOutcome, StudyRecord, TrialOutcome
    from benchmark.sweep.space import Point, Space

    PlanTrial = Callable[[Point, int], RunSpec]

_DECIDED = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}


def recorded_study(folder: Path) -> StudyRecord | None:
    """What a sweep's folder has a record of; None without one.

    Raises:
        UserError: there is a record that cannot be read.
    """
    path = folder / STUDY_FILE
    if not path.is_file():
        return None
    try:
        return read_study(path)
    except ValueError as error:
        raise UserError(f"{error}; mend or remove the file, or choose another --study NAME") from None


def decided_trials(record: StudyRecord, space: Space, points: int, plan: PlanTrial, where: Path) -> list[FrozenTrial]:
    """An entry's recorded trials that have their final outcome, as a storage keeps them; the others have to run again.

    Args:
        points: evaluation points of a run.
        plan: the run of a point and a seed; its key says whether a recorded one is the same.
        where: the study's folder, for messages.

    Raises:
        UserError: the record is another study's.
    """
    sweep, trials = space.sweep, []
    for name, recorded, asked in (
        ("sampler", record.sampler, sweep.sampler),
        ("pruner", record.pruner, sweep.pruner),
        ("seeds", record.seeds, list(sweep.seeds)),
    ):
        if recorded != asked:
            raise UserError(
                f"{where / STUDY_FILE}: {name} is {recorded}, in this sweep {asked}, and the storage holds no trial; "
                "give this study a name of its own with --study NAME"
            )
    own = [trial for study in record.studies if study.entry == space.entry for trial in study.trials]
    for trial in sorted(own, key=lambda trial: trial.number):
        if trial.state in _DECIDED and trial.runs:
            _check(trial, space, plan, where)
            trials.append(_restored(trial, space, points))
    return trials


def _check(trial: TrialOutcome, space: Space, plan: PlanTrial, where: Path) -> None:
    known = dict(enumerate(space.points())).get(trial.point)
    same = known is None or known == trial.parameters
    # A pruned trial may have ended in any of its seeds.
    seeds = space.sweep.seeds[: len(trial.runs)] if trial.state == "pruned" else space.sweep.seeds
    if same and [(run.seed, run.key) for run in trial.runs] == [
        (seed, plan(trial.parameters, seed).key) for seed in seeds
    ]:
        return
    raise UserError(
        f"{where / STUDY_FILE}: trial {trial.point} of '{space.entry}' was run with other settings than this sweep's, "
        "or by other rules, and the storage holds no trial; give this study a name of its own with --study NAME"
    )


def _restored(trial: TrialOutcome, space: Space, points: int) -> FrozenTrial:
    reports = _reports(trial.runs, points)
    scores = [run.linear_top1 for run in trial.runs if run.linear_top1 is not None]
    values: list[float] | None = None
    if trial.state == "complete":
        values = [sum(scores) / len(scores)]
        if space.sweep.sampler == "nsga2":
            values.append(sum(run.device_hours for run in trial.runs) / len(trial.runs))
    elif reports:
        values = [reports[max(reports)]]  # as Optuna keeps a pruned trial's last report
    attributes = {"point": trial.point, "runs": [run.model_dump(mode="json") for run in trial.runs]}
    return create_trial(
        state=_DECIDED[trial.state],
        values=values,
        params=space.encoded(trial.parameters),
        distributions=dict(space.distributions()),
        user_attrs={**attributes, **({"message": trial.message} if trial.message else {})},
        intermediate_values=reports,
    )


def _reports(runs: list[RunOutcome], points: int) -> dict[int, float]:
    """What the pruner was told."""
    return {
        pruning_step(place, progress, points): knn20
        for place, run in enumerate(runs)
        for progress, _, knn20 in run.curve
    }


def pruning_step(place: int, progress: float, points: int) -> int:
    """A run's evaluation in the count of its trial: steps count on over the seeds, so that equal ones are compared.

    Args:
        place: of the run's seed.
    """
    return place * points + max(0, round(progress * points) - 1)
