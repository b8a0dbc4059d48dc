"""The state of a job, as its files tell it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.errors import UserError
from benchmark.records.heartbeat import GRACE
from benchmark.records.jobs import (
    CANCEL,
    ELSEWHERE,
    INTERRUPTED,
    JobRecord,
    attempts,
    find_jobs,
    job_state,
    job_states,
    note,
    read_job,
    write_job,
    write_progress,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The folder of a job that was just submitted."""
    folder = tmp_path / "exp" / "jobs" / "simclr-seed-0"
    write_job(folder, JobRecord(kind="cost", name="simclr, seed 0", arguments=["version"], engine="slurm", id="7_0"))
    return folder


def _state(folder: Path) -> tuple[str, str]:
    state = job_state(folder)
    return state.state, state.reason


def test_a_job_waits_runs_is_interrupted_and_ends(job: Path) -> None:
    assert read_job(job).id == "7_0" and find_jobs([job.parents[2]]) == [job]
    assert _state(job) == ("waiting", "")
    note(job, "started", machine="n1", attempt="7_0")
    write_progress(job, 0.25, 30.0, "training")
    state = job_state(job)
    assert (state.state, state.where, state.progress, state.left, state.attempts) == ("running", "n1", 0.25, 30.0, 1)
    note(job, "ended", code=INTERRUPTED, reason="")
    assert _state(job) == ("waiting", "interrupted, its state is saved")
    note(job, "started", machine="n2", attempt="7_0")
    note(job, "ended", code=0, reason="")
    state = job_state(job)
    assert (state.state, state.attempts, state.progress) == ("done", 2, 1.0)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "ended", "code": 2, "reason": "no space left"}, ("failed", "no space left")),
        ({"event": "ended", "code": 3, "reason": ""}, ("failed", "exit code 3")),
        ({"event": "ended", "code": ELSEWHERE}, ("waiting", "")),
        ({"event": "cancelled"}, ("cancelled", "")),
    ],
)
def test_how_it_ended(job: Path, event: dict[str, Any], expected: tuple[str, str]) -> None:
    note(job, "started", machine="n1")
    note(job, **event)
    assert _state(job) == expected


def test_a_job_that_was_told_to_end_is_cancelled_once_it_has_saved(job: Path) -> None:
    (job / CANCEL).touch()
    assert _state(job) == ("cancelled", "")
    note(job, "started", machine="n1")
    assert _state(job)[0] == "running"
    note(job, "ended", code=INTERRUPTED)
    assert _state(job) == ("cancelled", "")


def test_a_job_that_gives_no_sign_of_life_has_failed(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note(job, "started", machine="n1")
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 3 * GRACE)
    assert _state(job) == ("failed", "no sign of life from n1: killed, or the node is lost")
    (job / CANCEL).touch()  # an engine ends a cancelled job that saves for too long
    assert _state(job) == ("cancelled", "")
    (job / "alive").touch()
    os.utime(job / "alive", (now + 2 * GRACE,) * 2)
    assert _state(job)[0] == "running"


@pytest.mark.parametrize(
    "line", ['{"event": "en', '{"code": 2}', '{"event": "ended"}', '{"event": "ended", "at": "noon"}', "[1]", "7", "\0"]
)
def test_a_line_that_was_cut_off_or_damaged_is_passed_over(job: Path, line: str) -> None:
    note(job, "started", machine="n1")
    with (job / "attempts.jsonl").open("a") as file:
        file.write(line)
    assert [line["event"] for line in attempts(job)] == ["started"] and _state(job)[0] == "running"


@pytest.mark.parametrize("text", ["", "[]", '{"progress": "half", "left": 1, "doing": ""}', '{"progress": 0.5}', "\0"])
def test_progress_that_cannot_be_read_is_none(job: Path, text: str) -> None:
    note(job, "started", machine="n1")
    (job / "progress.json").write_text(text)
    state = job_state(job)
    assert (state.state, state.progress, state.left) == ("running", None, None)


def test_files_that_cannot_be_read_are_named(job: Path) -> None:
    (job / "attempts.jsonl").mkdir()
    with pytest.raises(UserError, match=r"attempts\.jsonl: cannot be read \(Is a directory\)"):
        job_state(job)


def test_a_damaged_job_does_not_hide_the_others(job: Path) -> None:
    other = job.with_name("other")
    other.mkdir()
    (other / "job.json").write_text('{"schema_version": 1, "kind": "rnu"}')
    states, (problem,) = job_states([job.parents[2]])
    assert [state.folder for state in states] == [job]
    assert problem.startswith(f"{other / 'job.json'}: kind: is 'rnu'")
    assert problem.endswith("; remove that file, and bench submit writes it anew")


def test_jobs_are_found_from_their_own_folders_too(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (job.parents[1] / "job.json").touch()  # of something else
    for folder in (job.parents[2], job.parents[1], job.parent, job):
        assert find_jobs([folder]) == [job], folder
    monkeypatch.chdir(job)
    assert [folder.absolute() for folder in find_jobs([type(job)()])] == [job]


def test_a_run_that_ended_without_a_record_is_not_done(job: Path) -> None:
    write_job(job, read_job(job).model_copy(update={"kind": "run", "target": "../../simclr/seed-0"}))
    note(job, "started", machine="n1")
    note(job, "ended", code=0)
    assert _state(job) == ("waiting", "ended, but its record is not there; bench submit carries it out again")
    run = job.parents[1] / "simclr" / "seed-0"
    run.mkdir(parents=True)
    (run / "record.json").write_text("{")
    state, reason = _state(job)
    assert state == "failed" and reason.startswith(f"{run / 'record.json'}: ")


def test_a_folder_that_this_machine_does_not_see_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such job on this machine; .* a disk that all nodes see"):
        read_job(tmp_path / "nowhere")
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(UserError, match=r"job\.json: not a JSON file"):
        read_job(tmp_path)
