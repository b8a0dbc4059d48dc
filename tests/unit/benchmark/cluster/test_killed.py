"""What is said of a Slurm job whose process was killed; Slurm's programs are replaced."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cluster import killed
from benchmark.records.jobs import INTERRUPTED, JobRecord, attempts, job_state, note, write_job

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is asked of Slurm, by the batch script of the job 7_1, which is running."""
    asked: list[list[str]] = []
    monkeypatch.setenv("SLURM_JOB_ID", "7")  # that of an array's last task is the array's
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setattr(killed, "slurm_state", lambda: "RUNNING")
    monkeypatch.setattr(killed.subprocess, "run", lambda command, **_: asked.append(command))
    return asked


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The folder of the job 7_1, whose process began, beside that of another job."""
    for number in ("0", "1"):
        folder = tmp_path / "jobs" / number
        write_job(folder, JobRecord(kind="cost", name=number, arguments=["cost"], id=f"7_{number}"))
        note(folder, "started", machine="n1")
    return tmp_path / "jobs" / "1"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_job_that_could_not_listen_yet_is_requeued(
    commands: list[list[str]], job: Path, number: signal.Signals
) -> None:
    killed.settle(job.parents[1], number)
    assert commands == [["scontrol", "requeue", "7_1"]]  # 7 would be the whole array
    assert len(attempts(job)) == 1


def test_a_job_whose_processes_were_all_killed_has_failed_and_says_why(commands: list[list[str]], job: Path) -> None:
    killed.settle(job.parents[1], signal.SIGKILL)
    state = job_state(job)
    assert state.state == "failed" and state.reason.startswith("killed (SIGKILL), most likely for using more memory")
    assert not commands and len(attempts(job.with_name("0"))) == 1


def test_another_jobs_damaged_file_does_not_silence_it(commands: list[list[str]], job: Path) -> None:
    (job.with_name("0") / "job.json").write_text("{")
    killed.settle(job.parents[1], signal.SIGKILL)
    assert job_state(job).state == "failed" and not commands


def test_one_that_was_killed_before_it_began_again_has_failed(commands: list[list[str]], job: Path) -> None:
    note(job, "ended", code=INTERRUPTED)
    killed.settle(job.parents[1], signal.SIGKILL)
    assert job_state(job).state == "failed" and not commands


def test_what_the_process_said_itself_stays(commands: list[list[str]], job: Path) -> None:
    note(job, "ended", code=2, reason="no such file")
    killed.settle(job.parents[1], signal.SIGKILL)
    assert job_state(job).reason == "no such file"


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "PENDING", ""])
def test_what_slurm_does_itself_is_left_to_it(
    commands: list[list[str]], job: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(killed, "slurm_state", lambda: state)
    for number in (signal.SIGTERM, signal.SIGKILL):
        killed.settle(job.parents[1], number)
    assert not commands and len(attempts(job)) == 1


def test_the_state_and_the_id_of_a_job_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = ["JobId=7 JobName=bench JobState=CANCELLED Reason=None", None]
    asked: list[str] = []
    monkeypatch.setattr(killed, "output", lambda command: asked.append(command[-1]) or answers.pop(0))  # type: ignore[func-returns-value]
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    assert (killed.slurm_state(), killed.slurm_state(), killed.own_id()) == ("CANCELLED", "", "9")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    answers.append("JobId=8 ArrayJobId=7 ArrayTaskId=0 JobState=RUNNING")
    assert (killed.own_id(), killed.slurm_state(), asked) == ("7_0", "RUNNING", ["9", "9", "7_0"])
