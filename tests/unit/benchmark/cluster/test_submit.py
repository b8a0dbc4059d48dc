"""What is submitted: what is missing, once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cluster.submit import Submission, settled
from benchmark.errors import UserError
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.machine.interrupt import StopSignal
from benchmark.records.jobs import CANCEL, INTERRUPTED, JobRecord, job_state, note, read_job, write_job
from benchmark.records.locks import folder_lock

if TYPE_CHECKING:
    from pathlib import Path


class Engine:
    """Remembers what it was given; refuses it where told to."""

    waits = False

    def __init__(self) -> None:
        self.queue: set[str] = set()
        self.refuses = False
        self.lost: set[str] = set()

    def check(self, cluster: ClusterSpec) -> None:
        pass

    def queued(self, ids: Any) -> set[str]:
        return self.queue & set(ids)

    def failed(self, ids: Any) -> set[str]:
        return self.lost & set(ids)

    def start(self, posted: Any, cluster: ClusterSpec, stop_signal: StopSignal, tell: Any) -> None:
        if self.refuses:
            raise UserError("no such partition")
        for folder, job in posted:
            write_job(folder, job.model_copy(update={"id": folder.name}))
            self.queue.add(folder.name)

    def cancel(self, ids: Any) -> None:
        self.queue -= set(ids)

    def script(self, posted: Any, cluster: ClusterSpec) -> str:
        return "".join(f"{folder.name}\n" for folder, _ in posted)


@pytest.fixture
def said() -> list[str]:
    """What the user is told."""
    return []


@pytest.fixture
def submission(tmp_path: Path, said: list[str]) -> Submission:
    """Three jobs."""
    cluster = ClusterSpec(cpus=2, tasks=2)
    jobs = [
        (name, settled(JobRecord(kind="run", name=name, arguments=["version"]), 600, cluster, "slurm"))
        for name in ("a", "b", "c")
    ]
    return Submission(tmp_path / "exp", jobs, "slurm", Engine(), cluster, said.append)


def _submit(submission: Submission) -> list[str]:
    return [folder.name for folder in submission.submit(StopSignal(str), lambda folders: None)]


def test_only_what_is_missing_is_submitted(submission: Submission, said: list[str]) -> None:
    assert _submit(submission) == ["a", "b", "c"]
    job = read_job(submission.folder / "a")
    assert (job.engine, job.id, job.requested, job.threads, job.devices) == ("slurm", "a", 600, 2, 1)
    assert "torch" in job.code and job.submitted
    assert _submit(submission) == []
    for name, code in (("a", 0), ("b", 2), ("c", INTERRUPTED)):
        note(submission.folder / name, "started", machine="n1")
        note(submission.folder / name, "ended", code=code)
    submission.engine.cancel(["a", "b"])
    assert _submit(submission) == ["b"]  # `c` is still in the queue, and is to go on
    assert job_state(submission.folder / "b").state == "waiting"
    assert not said


@pytest.mark.parametrize("kind", ["cost", "sweep", "evaluate"])
def test_what_finds_out_itself_what_is_missing_is_submitted_again(submission: Submission, kind: Any) -> None:
    jobs = [(name, job.model_copy(update={"kind": kind})) for name, job in submission.jobs]
    submission = replace(submission, jobs=jobs)
    _submit(submission)
    for name, code in (("a", 0), ("b", 2)):
        note(submission.folder / name, "started", machine="n1")
        note(submission.folder / name, "ended", code=code)
    submission.engine.cancel(["a", "b"])
    assert _submit(submission) == ["a", "b"]


def test_jobs_that_left_the_queue_without_a_trace_are_said_and_submitted_again(
    submission: Submission, said: list[str]
) -> None:
    _submit(submission)
    submission.engine.cancel(["b"])
    assert _submit(submission) == ["b"]
    assert said[0].startswith("1 of the jobs submitted before left the queue without a trace: ")


def test_jobs_that_failed_before_they_wrote_anything_are_refused_once(submission: Submission, said: list[str]) -> None:
    _submit(submission)
    submission.engine.cancel(["b", "c"])
    submission.engine.lost = {"a", "b", "c"}  # type: ignore[attr-defined]
    note(submission.folder / "a", "started", machine="n1")
    with pytest.raises(UserError, match=r"^b and 1 more: failed before it could write here: its node does not see .*"):
        _submit(submission)
    state = job_state(submission.folder / "b")
    assert state.state == "failed" and state.reason.startswith("failed before it could write here")
    submission.engine.queue.add("a")
    assert _submit(submission) == ["b", "c"] and not said


def test_jobs_that_are_still_being_cancelled_are_said(submission: Submission, said: list[str]) -> None:
    _submit(submission)
    (submission.folder / "b" / CANCEL).touch()
    assert _submit(submission) == [] and said[0].startswith("1 jobs that were cancelled are still saving; ")
    submission.engine.cancel(["b"])
    note(submission.folder / "b", "started", machine="n1")
    note(submission.folder / "b", "ended", code=INTERRUPTED)
    assert _submit(submission) == ["b"] and len(said) == 1


def test_what_the_engine_refuses_leaves_no_jobs(submission: Submission) -> None:
    submission.engine.refuses = True  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="no such partition"):
        _submit(submission)
    assert not list(submission.folder.glob("*/job.json"))


def test_jobs_that_nobody_will_start_after_an_interruption_are_cancelled(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(posted: Any, *_: Any) -> None:
        for event, details in (("started", {"machine": "here"}), ("ended", {"code": INTERRUPTED})):
            note(posted[0][0], event, **details)

    monkeypatch.setattr(submission.engine, "waits", True)
    monkeypatch.setattr(submission.engine, "start", start)
    _submit(submission)
    assert [job_state(submission.folder / name).state for name in "abc"] == ["cancelled"] * 3
    assert _submit(submission) == ["a", "b", "c"]


def test_a_dry_run_writes_the_script_alone(submission: Submission) -> None:
    path, count = submission.dry_run()
    assert path.read_text() == "a\nb\nc\n" and count == 3
    assert not list(submission.folder.glob("*/job.json"))


def test_two_submissions_at_once_are_refused(submission: Submission) -> None:
    with folder_lock(submission.folder), pytest.raises(UserError, match="another bench submit is at work there"):
        _submit(submission)
