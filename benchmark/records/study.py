"""The schema of `study.json`: a sweep's trials, with the runs of each.

The file is in the study's folder, `<out>/<study>/`, above the folders of its runs, which have ordinary records.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from benchmark.records.folder import read_all, read_part
from benchmark.records.schema import Amount, Number, Part, Percent, Status
from benchmark.text import no_formula

if TYPE_CHECKING:
    from pathlib import Path

STUDY_VERSION = 1
STUDY_FILE = "study.json"
TRIALS_FILE = "trials.csv"

TrialState = Literal["complete", "pruned", "failed", "running", "waiting"]


class PublishedScore(Part):
    """A published score for one value of a parameter, in percent, and its conditions."""

    parameter: str
    value: Any
    linear_top1: Percent | None = None
    knn: Percent | None = None
    source: str


class RunOutcome(Part):
    """One run of a trial. Scores are on the validation split, of the primary encoder, in percent.

    `curve`: progress, linear top-1 and kNN-20 at each evaluation point. `record`: the record's path, seen from the
    study's folder. `device_hours` is training time, `total_hours` everything.
    """

    seed: int
    key: str
    status: Status
    linear_top1: Percent | None
    knn20: Percent | None
    device_hours: Amount
    total_hours: Amount
    flags: list[str] = Field(default_factory=list)
    record: str
    curve: list[tuple[float, float, float]] = Field(default_factory=list)


class TrialOutcome(Part):
    """A point of the study. `value` is the mean of its runs' linear top-1 on the validation split."""

    number: Number
    point: Number
    state: TrialState
    entry: str
    parameters: dict[str, Any]
    value: Percent | None
    message: str = ""
    runs: list[RunOutcome] = Field(default_factory=list)


class ParameterRange(Part):
    """The values that a parameter may have: a list, or a range.

    `reference`: the experiment's own value, as `value_key` has it; None where it is not in the list. Earlier studies
    have none.
    """

    values: list[Any] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    reference: str | None = None


class EntryStudy(Part):
    """The trials of one entry. `importances`: as Optuna estimates them, summing to 1; empty where there is one."""

    entry: str
    storage_name: str
    parameters: dict[str, ParameterRange]
    trials: list[TrialOutcome]
    importances: dict[str, float] = Field(default_factory=dict)


class StudyRecord(Part):
    """The state of a sweep."""

    schema_version: int = STUDY_VERSION
    name: str
    description: str
    experiment: str
    dataset: str
    budget: str
    sampler: str
    pruner: str
    seeds: list[int]
    trials_wanted: Number
    confirm_seeds: list[int] = Field(default_factory=list)
    published: list[PublishedScore] = Field(default_factory=list)
    studies: list[EntryStudy]

    @property
    def runs(self) -> list[RunOutcome]:
        """All runs of all trials, each once: two trials of one point share theirs."""
        runs = {(trial.entry, run.key): run for study in self.studies for trial in study.trials for run in trial.runs}
        return list(runs.values())

    @property
    def device_hours(self) -> float:
        """Training time of all runs, pruned and failed ones included."""
        return sum(run.device_hours for run in self.runs)

    @property
    def total_hours(self) -> float:
        """Total time of all runs: with set-up, probes and checkpoints."""
        return sum(run.total_hours for run in self.runs)


def value_key(value: Any) -> str:
    """A parameter's value as text: the same for equal values, whether 1000 or 1e3; to twelve digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.12g}"
    return json.dumps(value)


def value_text(value: Any) -> str:
    """A parameter's value as a reader sees it, with four digits; different values may look the same."""
    return f"{value:.4g}" if isinstance(value, float) else value_key(value)


def read_study(path: Path) -> StudyRecord:
    """Reads one `study.json`.

    Raises:
        ValueError: the file is not a study; names the file and the reason.
    """
    return read_part(path, StudyRecord, STUDY_VERSION)


def find_studies(roots: list[Path]) -> tuple[list[tuple[Path, StudyRecord]], list[str]]:
    """All studies below some folders, in a stable order, and a line for each file that could not be read."""
    return read_all((path for root in roots for path in root.rglob(STUDY_FILE)), read_study)


_COLUMNS = (
    *("study", "entry", "trial", "point", "state", "value", "message", "seed", "status", "linear_validation_top1"),
    *("knn20_validation", "device_hours", "total_hours", "flags", "key", "record"),
)


def trials_csv(study: StudyRecord) -> str:
    """All trials as a table: a row per run, or one row for a trial without any; a column per parameter."""
    names = list(dict.fromkeys(name for entry_study in study.studies for name in entry_study.parameters))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_COLUMNS, *names], lineterminator="\n")
    writer.writeheader()
    for entry_study in study.studies:
        for trial in entry_study.trials:
            common = {
                **trial.model_dump(include={"point", "state", "value", "message"}),
                "study": study.name,
                "entry": entry_study.entry,
                "trial": trial.number,
                # With every digit: a rounded learning rate is a different one.
                **{name: v if isinstance(v, float) else value_text(v) for name, v in trial.parameters.items()},
            }
            for run in trial.runs:
                cells = run.model_dump(exclude={"linear_top1", "knn20", "curve"})
                cells |= {"linear_validation_top1": run.linear_top1, "knn20_validation": run.knn20}
                writer.writerow(_for_csv({**common, **cells, "flags": "; ".join(run.flags)}))
            if not trial.runs:
                writer.writerow(_for_csv(common))
    return text.getvalue()


def _for_csv(cells: dict[str, Any]) -> dict[str, Any]:
    return {name: no_formula(cell) for name, cell in cells.items()}
