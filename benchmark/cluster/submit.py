"""Submits jobs: those that are missing, once; and says how they stand."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.files.disk import writing
from benchmark.machine.code import versions_here
from benchmark.records.jobs import CANCEL, JOBS, JobRecord, attempts, job_state, note, read_job, write_job
from benchmark.records.locks import folder_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmark.cluster.engine import Engine
    from benchmark.cluster.requested import PlannedJob
    from benchmark.experiment.cluster_spec import ClusterSpec
    from benchmark.machine.interrupt import StopSignal
    from benchmark.records.jobs import State

Planned = tuple[str, JobRecord]
"""The name of a job's folder, and the job."""


@dataclass(frozen=True)
class Submission:
    """Jobs of one results folder for one engine.

    Attributes:
        results: the experiment's or study's folder.
        name: the engine's.
    """

    results: Path
    jobs: Sequence[Planned]
    name: str
    engine: Engine
    cluster: ClusterSpec
    say: Callable[[str], None]

    @property
    def folder(self) -> Path:
        """Where the jobs' folders are."""
        return self.results / JOBS

    def dry_run(self) -> tuple[Path, int]:
        """Writes what would be submitted; the file, and how many jobs."""
        posted = [(self.folder / name, job) for name, job in self.missing()]
        path = self.folder / f"dry-run-{self.name}.sh"
        with writing(path, "choose another --out"):
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(self.engine.script(posted, self.cluster), encoding="utf-8")
        return path, len(posted)

    def submit(self, stop_signal: StopSignal, tell: Callable[[list[Path]], None]) -> list[Path]:
        """Submits what is missing; the folders of the submitted jobs.

        Args:
            tell: called from time to time with these folders by an engine that waits.

        Raises:
            UserError: the engine refuses the jobs, or another command is submitting them.
        """
        with writing(self.folder, "choose another --out"), folder_lock(self.folder) as mine:
            if mine is None:
                raise UserError(f"{self.folder}: another bench submit is at work there; bench status shows its jobs")
            self._refuse_where_none_can_start()
            missing = self.missing()
            fresh = [name for name, _ in missing if not (self.folder / name).exists()]
            posted = [(self.folder / name, job) for name, job in missing]
            for folder, job in posted:
                self._clear(folder)
                write_job(folder, job)
            folders = [folder for folder, _ in posted]
            if posted:
                try:
                    self.engine.start(posted, self.cluster, stop_signal, lambda: tell(folders))
                except UserError:
                    for name in fresh:  # so that status does not show as waiting what was refused
                        if not attempts(self.folder / name):
                            shutil.rmtree(self.folder / name, ignore_errors=True)
                    raise
            if self.engine.waits:  # interrupted, with jobs left that nobody will start
                for folder in folders:
                    if job_state(folder).state == "waiting":
                        note(folder, "cancelled")
        return folders

    def _refuse_where_none_can_start(self) -> None:
        """Refuses to submit again what the engine calls failed before it wrote anything; once, then the user tries."""
        known = self._known()
        silent = {name: job.id for name, job in known.items() if job.id and not attempts(self.folder / name)}
        failed = self.engine.failed(list(silent.values())) if silent else set()
        names = [name for name, job_id in silent.items() if job_id in failed]
        reason = f"failed before it could write here: its node does not see {self.folder}, or cannot start Python there"
        for name in names:
            note(self.folder / name, "ended", code=2, reason=reason)
        if names:
            raise UserError(f"{known[names[0]].name}{_and_more(names)}: {reason}; put --out on a disk that nodes see")

    def _known(self) -> dict[str, JobRecord]:
        """The jobs that were submitted before."""
        names = [name for name, _ in self.jobs if (self.folder / name / "job.json").is_file()]
        return {name: read_job(self.folder / name) for name in names}

    def missing(self) -> list[Planned]:
        """The jobs that are neither done nor under way."""
        known = self._known()
        states = {name: job_state(self.folder / name, job) for name, job in known.items()}
        same = {name: job.id for name, job in known.items() if job.engine == self.name and job.id}
        queued = self.engine.queued(list(same.values())) if same else set()
        traceless = [
            name
            for name, job_id in same.items()
            if job_id not in queued and states[name].state == "waiting" and not states[name].attempts
        ]
        if traceless:
            self.say(
                f"{len(traceless)} of the jobs submitted before left the queue without a trace: either they were "
                f"cancelled there, or their nodes do not see {self.folder}"
            )
        ending = [name for name in same if name in queued and (self.folder / name / CANCEL).exists()]
        if ending:
            self.say(
                f"{len(ending)} jobs that were cancelled are still saving; give the command again when they have ended"
            )
        return [
            (name, job.model_copy(update={"engine": self.name, "code": versions_here(), "submitted": _now()}))
            for name, job in self.jobs
            if name not in states
            or not (states[name].state in _settled(job) or (name in same and same[name] in queued))
        ]

    @staticmethod
    def _clear(folder: Path) -> None:
        """Removes what an earlier submission said of its attempts; its log stays."""
        for name in ("attempts.jsonl", "progress.json", "alive", CANCEL):
            (folder / name).unlink(missing_ok=True)


def run_jobs(
    planned: Sequence[PlannedJob], arguments: Sequence[str], out: Path, cluster: ClusterSpec, name: str
) -> list[Planned]:
    """A job for each run: the command of all of them, of which it carries out one.

    Args:
        arguments: of `bench`, the same for all.
        name: the engine's.
    """
    jobs = []
    for plan in planned:
        spec = plan.spec
        label = f"{spec.entry.name}, seed {spec.seed}, {spec.budget}"
        target = f"../../{spec.folder(out).relative_to(out / spec.experiment.name)}"
        job = JobRecord(kind="run", name=label, arguments=list(arguments), target=target, key=spec.key)
        jobs.append((f"{spec.entry.name}-seed-{spec.seed}-{spec.key[:8]}", settled(job, plan.requested, cluster, name)))
    return jobs


def settled(job: JobRecord, requested: float, cluster: ClusterSpec, name: str) -> JobRecord:
    """A job with what the engine and the cluster say of all."""
    devices = 1 if name == "slurm" else cluster.local_size  # srun starts the processes itself
    return job.model_copy(update={"requested": requested, "devices": devices, "threads": cluster.cpus})


def _settled(job: JobRecord) -> tuple[State, ...]:
    """States in which a job is not submitted again; those without a run of their own find out what is missing."""
    return ("running", "done") if job.kind == "run" else ("running",)


def _and_more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
