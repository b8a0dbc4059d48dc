"""What `bench submit` leaves in an experiment's `jobs/`, and the state of each job as these files tell it.

A job's folder holds `job.json` (what was submitted), `attempts.jsonl` (when and where it began and ended),
`progress.json`, `alive` (touched while it runs) and `log.txt`.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from benchmark.errors import UserError
from benchmark.files.disk import reading, write_atomically
from benchmark.files.parse import load_json
from benchmark.records.folder import read_part, read_record
from benchmark.records.heartbeat import GRACE, holder
from benchmark.records.schema import FINAL_STATUSES, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

JOBS = "jobs"
"""The folder of jobs in an experiment's results."""
CANCEL = "cancel"
"""A file in a job's folder: `bench cancel` was told to end it."""
INTERRUPTED = 130
"""The exit code of a job that has saved, and is to go on."""
ELSEWHERE = 75
"""The exit code of a job whose run another process had all the while."""
_VERSION = 1
State = Literal["done", "running", "waiting", "failed", "cancelled"]
STATES: tuple[State, ...] = ("done", "running", "waiting", "failed", "cancelled")


class JobRecord(Part):
    """A job as it was submitted.

    Attributes:
        kind: `run`, `sweep`, `evaluate` or `cost`.
        arguments: of `bench`; `--job` and this folder are added.
        target: the run's folder, relative to the job's; empty where the job has no run of its own.
        key: of that run.
        code: versions that the nodes have to have: of this package and of torch.
        devices: processes that share each batch on a machine whose launcher has not started them.
        threads: of each process; None for as many as it may use.
        constraint: a feature of its node, in place of the cluster's.
        engine: `slurm`, `ray` or `local`.
        id: the engine's name for it.
        submitted: when.
        requested: seconds, the time limit that was asked for.
    """

    schema_version: int = _VERSION
    kind: Literal["run", "sweep", "evaluate", "cost"]
    name: str
    arguments: list[str]
    target: str = ""
    key: str | None = None
    code: dict[str, str] = Field(default_factory=dict)
    devices: int = 1
    threads: int | None = None
    constraint: str | None = None
    engine: str = ""
    id: str = ""
    submitted: str = ""
    requested: float | None = None


@dataclass(frozen=True)
class JobState:
    """What is known of a job from its files.

    Attributes:
        where: the machine, while it runs.
        progress: from 0 to 1.
        left: seconds.
        reason: why it failed, or waits again.
        attempts: how often it has begun.
    """

    folder: Path
    job: JobRecord
    state: State
    where: str = ""
    progress: float | None = None
    left: float | None = None
    reason: str = ""
    attempts: int = 0

    @property
    def log(self) -> Path:
        """Where the job's output is."""
        return self.folder / "log.txt"


def write_job(folder: Path, job: JobRecord) -> None:
    """Writes `job.json`."""
    write_atomically(folder / "job.json", job.model_dump_json(indent=2) + "\n")


def read_job(folder: Path) -> JobRecord:
    """A job as it was submitted.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    path = folder / "job.json"
    if not path.is_file():
        raise UserError(
            f"{folder}: no such job on this machine; the results folder has to be on a disk that all nodes see, at the "
            "same path"
        )
    try:
        return read_part(path, JobRecord, _VERSION)
    except ValueError as error:
        raise UserError(f"{error}; remove that file, and bench submit writes it anew") from None


def note(folder: Path, event: str, **details: Any) -> None:
    """Adds a line to a job's `attempts.jsonl`; flushed, so that it survives the process."""
    with (folder / "attempts.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": event, "at": time.time(), **details}) + "\n")


def attempts(folder: Path) -> list[dict[str, Any]]:
    """The lines of a job's `attempts.jsonl`; one that is damaged, as by a killed process, is passed over.

    Raises:
        UserError: the file cannot be read.
    """
    path, lines = folder / "attempts.jsonl", []
    with reading(path), suppress(FileNotFoundError):
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                line = load_json(text)
                lines.append({**line, "event": str(line["event"]), "at": float(line["at"])})
    return lines


def write_progress(folder: Path, progress: float, left: float | None, doing: str) -> None:
    """Writes how far a job's run has come; `left` in seconds, `doing` in words."""
    write_atomically(folder / "progress.json", json.dumps({"progress": progress, "left": left, "doing": doing}))


def find_jobs(results: Sequence[Path]) -> list[Path]:
    """The folders of all jobs below results folders, or below these jobs' own; in the order of their submission."""
    paths = {path for root in results for path in root.rglob("job.json")}
    found = {path.parent for path in paths if path.absolute().parents[1].name == JOBS}
    return sorted(found, key=lambda folder: ((folder / "job.json").stat().st_mtime, folder.name))


def job_states(results: Sequence[Path]) -> tuple[list[JobState], list[str]]:
    """The states of all jobs below results folders; in words, what is wrong with those that cannot be read.

    Raises:
        UserError: there is no such folder.
    """
    states, problems = [], []
    for path in results:
        if not path.is_dir():
            raise UserError(f"{path}: no such folder")
    for folder in find_jobs(results):
        try:
            states.append(job_state(folder))
        except UserError as error:
            problems.append(str(error))
    return states, problems


def job_state(folder: Path, job: JobRecord | None = None) -> JobState:
    """The state of a job, from files alone.

    Raises:
        UserError: its files cannot be read.
    """
    job = job or read_job(folder)
    lines = attempts(folder)
    begun = sum(line["event"] == "started" for line in lines)
    ended = _of_record(folder, job)
    if ended is not None:
        return JobState(folder, job, ended[0], reason=ended[1], attempts=begun, progress=1.0)
    last: dict[str, Any] = lines[-1] if lines else {"event": ""}
    event, code = last["event"], last.get("code")
    if event == "cancelled" or (event != "started" and code in (None, INTERRUPTED) and (folder / CANCEL).exists()):
        return JobState(folder, job, "cancelled", attempts=begun)
    progress, left, doing = _progress(folder)
    if event == "started":
        where = str(last.get("machine", ""))
        if _is_alive(folder, last["at"]):
            return JobState(folder, job, "running", where, progress, left, doing, begun)
        if (folder / CANCEL).exists():  # the engine did not wait until it had saved
            return JobState(folder, job, "cancelled", attempts=begun)
        reason = f"no sign of life from {where}: killed, or the node is lost"
        return JobState(folder, job, "failed", "", progress, reason=reason, attempts=begun)
    run = _run(folder, job)
    if event == "ended" and code == 0 and run is None:
        return JobState(folder, job, "done", attempts=begun, progress=1.0)
    if event == "ended" and code not in (0, INTERRUPTED, ELSEWHERE):
        reason = str(last.get("reason") or f"exit code {code}")
        return JobState(folder, job, "failed", "", progress, reason=reason, attempts=begun)
    if run is not None and (elsewhere := holder(run)) is not None:
        return JobState(folder, job, "running", elsewhere, reason="by another command", attempts=begun)
    waits = "interrupted, its state is saved" if code == INTERRUPTED else ""
    if code == 0:  # not `failed`: a network disk may show the end of a job before its record
        waits = "ended, but its record is not there; bench submit carries it out again"
    return JobState(folder, job, "waiting", "", progress, reason=waits, attempts=begun)


def _of_record(folder: Path, job: JobRecord) -> tuple[State, str] | None:
    """What the record of the job's run says, if there is one that counts."""
    run = _run(folder, job)
    if run is None or not (run / "record.json").is_file():
        return None
    try:
        record = read_record(run / "record.json")
    except ValueError as error:
        return "failed", str(error)
    if record.status in FINAL_STATUSES:
        return "done", "" if record.status == "completed" else record.status
    last = attempts(folder)[-1:]  # a failed run that is being tried again runs
    return None if last and last[0]["event"] == "started" else ("failed", record.message or record.status)


def _progress(folder: Path) -> tuple[float | None, float | None, str]:
    try:
        data = load_json((folder / "progress.json").read_text(encoding="utf-8"))
        left = data["left"]
        return float(data["progress"]), None if left is None else float(left), str(data["doing"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None, ""


def _is_alive(folder: Path, since: float) -> bool:
    """Whether the job gave a sign of life lately; machines' clocks may differ by a minute."""
    with suppress(OSError):
        since = max(since, (folder / "alive").stat().st_mtime)
    return time.time() - since < 2 * GRACE


def _run(folder: Path, job: JobRecord) -> Path | None:
    """The folder of the job's run; None where it has none of its own. Without `..`, since messages show it."""
    return Path(os.path.normpath(folder / job.target)) if job.target and job.kind == "run" else None
