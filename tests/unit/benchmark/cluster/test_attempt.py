"""One attempt at a job: `bench` is replaced by programs of a line."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from benchmark.cluster import attempt
from benchmark.cluster.attempt import carry_out
from benchmark.machine.code import versions_here
from benchmark.records.jobs import ELSEWHERE, INTERRUPTED, JobRecord, attempts, job_state, read_job, write_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a job whose `bench` is a program in Python."""

    def write(program: str, **fields: object) -> Path:
        path = tmp_path / "bench"
        path.write_text(f"#!{sys.executable} -S\nimport os, signal, sys, time\n{program}\n")
        path.chmod(0o755)
        monkeypatch.setattr(attempt.sys, "executable", str(path))
        folder = tmp_path / "exp" / "jobs" / "a"
        write_job(folder, JobRecord(kind="cost", name="a", arguments=["cost"], **fields))  # type: ignore[arg-type]
        return folder

    return write


def test_its_command_its_output_and_its_end_are_kept(make: Callable[..., Path]) -> None:
    job = make("print(sys.argv[1:], os.environ['OMP_NUM_THREADS'])", devices=2, threads=3)
    assert carry_out(job, attempt="7") == 0
    assert (job / "log.txt").read_text() == "['-m', 'benchmark', 'cost', '--devices', '2'] 3\n"
    begun, ended = attempts(job)
    assert (begun["event"], begun["attempt"], ended["event"], ended["code"]) == ("started", "7", "ended", 0)
    assert (job / "alive").exists() and job_state(job).state == "done"


@pytest.mark.parametrize(
    ("program", "code", "reason"),
    [
        ("print('error: no such file\\nand more'); sys.exit(2)", 2, "no such file"),
        ("print('Traceback\\nKeyError: 1'); sys.exit(1)", 1, "KeyError: 1"),
        ("os.kill(os.getpid(), 9)", -9, "killed (SIGKILL), most likely for using more memory than it may: "),
        ("os.kill(os.getpid(), 11)", -11, "killed (SIGSEGV)"),
        ("sys.exit(7)", 7, "exit code 7"),
    ],
)
def test_why_it_failed_is_said(make: Callable[..., Path], program: str, code: int, reason: str) -> None:
    job = make(program)
    assert carry_out(job) == code
    state = job_state(job)
    assert state.state == "failed" and state.reason.startswith(reason)
    assert code > 0 or state.log.read_text() == f"error: {state.reason}\n"


@pytest.mark.parametrize("catches", [True, False])
def test_a_signal_is_passed_on_and_the_job_waits_to_go_on(make: Callable[..., Path], catches: bool) -> None:
    save = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n" if catches else ""  # else not started yet
    job = make(f"{save}print('up', flush=True)\ntime.sleep(60)")

    def interrupt() -> None:
        while not (job / "log.txt").exists() or not (job / "log.txt").read_text():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert carry_out(job) == INTERRUPTED
    thread.join()
    assert job_state(job).state == "waiting"
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_an_interrupt_reaches_a_process_that_inherited_it_blocked(make: Callable[..., Path]) -> None:
    job = make("signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\nprint('up', flush=True)\ntime.sleep(60)")

    def interrupt() -> None:
        while not (job / "log.txt").exists() or not (job / "log.txt").read_text():
            time.sleep(0.02)
        _thread.interrupt_main()  # as Ray does where a task is cancelled

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as Ray does in its workers
    try:
        thread = threading.Thread(target=interrupt)
        thread.start()
        assert carry_out(job) == INTERRUPTED
        thread.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_run_that_another_machine_has_is_left_to_it(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "_PATIENCE", 0.05)
    monkeypatch.setattr(attempt, "_PAUSE", 0.02)
    job = make("sys.exit(75)")
    assert carry_out(job) == ELSEWHERE and job_state(job).state == "waiting"


def test_a_signal_ends_the_wait_for_another_machine_and_starts_nothing(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "_PAUSE", 0.02)
    job = make("", target="../../a/seed-0")
    record = read_job(job).model_copy(update={"kind": "run", "arguments": ["run"]})
    write_job(job, record)
    looks: list[int] = []

    def holder(folder: Path) -> str:
        looks.append(1)
        if len(looks) == 3:
            os.kill(os.getpid(), signal.SIGUSR2)
        return "node7"

    monkeypatch.setattr(attempt, "holder", holder)
    assert carry_out(job) == INTERRUPTED and len(looks) < 6
    assert not (job / "log.txt").exists() and job_state(job).attempts == 1
    assert attempts(job)[-1]["code"] == INTERRUPTED


def test_other_versions_on_the_node_are_named(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    job = make("", code={**versions_here(), "torch": "1.0"})
    assert carry_out(job) == 2
    assert "n1 has torch 2." in job_state(job).reason and "error: n1 has torch 2." in (job / "log.txt").read_text()
    assert "the job was submitted with 1.0" in caplog.text


def test_a_folder_that_the_node_does_not_see_ends_it_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert carry_out(tmp_path / "jobs" / "a") == 2
    assert "the results folder has to be on a disk that all nodes see" in caplog.text


def test_a_full_disk_is_said_where_it_can_be(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = make("")
    real = attempt.note

    def full(folder: Path, event: str, **details: object) -> None:
        if event == "ended":
            raise OSError(28, "No space left on device")
        real(folder, event, **details)

    monkeypatch.setattr(attempt, "note", full)
    assert carry_out(job) == 0
    assert "cannot be written ([Errno 28] No space left on device)" in caplog.text
