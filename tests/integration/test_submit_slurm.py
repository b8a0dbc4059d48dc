"""`bench submit --on slurm` on a real Slurm of two nodes, which the tests start on this machine."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from slurm_cluster import slurm_cluster

from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.records.folder import find_records
from benchmark.records.jobs import JobState, find_jobs, job_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_STEPS = 40
_CLUSTER = ("--on", "slurm", "--set", "cluster.time=30m", "--set", "cluster.cpus=1")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("slurm")
        patch.setenv(FOLDER_VARIABLE, str(folder / "locks"))
        patch.setenv("OMP_NUM_THREADS", "1")
        with slurm_cluster(folder, patch):
            yield


def _wait(out: Path, until: Callable[[JobState], bool]) -> JobState:
    """The state of the only job as soon as it is as wanted."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        (folder,) = find_jobs([out])
        state = job_state(folder)
        if until(state):
            return state
        assert state.state != "failed", (state, state.log.read_text())
        # Slurm lets a requeued job wait for a while.
        subprocess.run(
            ["scontrol", "update", f"jobid={state.job.id}", "StartTime=now"], check=False, capture_output=True
        )
        time.sleep(0.5)
    raise AssertionError(f"still {state}")


def test_a_run_that_is_preempted_and_told_to_save_equals_an_undisturbed_one(
    slurm: None, bench: Any, tmp_path: Path
) -> None:
    config = bench.config(budget={"steps": _STEPS}, evaluation={"points": 4, "images": 100}, precision="32")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert bench("run", config, "--methods", "simclr", "--out", whole)[0] == 0

    arguments = (config, "--methods", "simclr", "--out", parts)
    code, printed = bench("plan", *arguments, *_CLUSTER[:2])
    assert code == 0 and "1 of 1 jobs to submit" in printed and "no step cost" in printed
    code, printed = bench("submit", *arguments, *_CLUSTER, "--dry-run")
    script = (parts / "tiny" / "jobs" / "dry-run-slurm.sh").read_text()
    assert code == 0 and "1 of 1 jobs would be submitted" in printed
    assert "#SBATCH --time=30\n" in script and "#SBATCH --signal=USR2@120\n" in script
    assert not find_jobs([parts])

    code, printed = bench("submit", *arguments, *_CLUSTER)
    assert code == 0 and "1 of 1 jobs submitted" in printed, printed
    assert "nothing to submit" in bench("submit", *arguments, *_CLUSTER)[1]
    job = _wait(parts, lambda state: state.state == "running" and (state.progress or 0.0) > 0.0).job
    subprocess.run(["scontrol", "requeue", job.id], check=True)  # as a job of higher priority would
    _wait(parts, lambda state: state.attempts == 2 and state.state == "running")
    subprocess.run(["scancel", "--signal", "USR2", job.id], check=False)  # as before a time limit
    _wait(parts, lambda state: state.attempts == 3 or state.state == "done")
    state = _wait(parts, lambda state: state.state == "done")
    code, printed = bench("status", parts)
    assert code == 0 and "1 of 1 jobs done" in printed

    first, second = (bench.records(out)["simclr"] for out in (whole, parts))
    assert second.key == first.key and second.metrics == first.metrics
    assert bench.history(parts, "simclr") == bench.history(whole, "simclr")
    assert (second.ledger.steps, second.ledger.samples) == (_STEPS, 16 * _STEPS)
    assert state.attempts >= 2
    (folder,) = parts.glob("tiny/simclr/seed-0-*")
    assert not [path.name for path in folder.iterdir() if path.name.startswith((".", "state"))]
    assert "nothing to submit" in bench("submit", *arguments, *_CLUSTER)[1]


def test_an_evaluation_is_a_job_and_a_cancelled_one_stays_so(slurm: None, bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bench.finished(out, "random_init")
    hold = ("--set", "cluster.sbatch={begin: now+1hour}")
    arguments = ("submit", "--evaluate", out / "tiny", "--protocols", "lowlevel-v1", *_CLUSTER, *hold)
    code, printed = bench(*arguments)
    assert code == 0 and "1 of 1 jobs submitted" in printed, printed
    (folder,) = find_jobs([out])
    assert job_state(folder).state == "waiting"
    code, printed = bench("cancel", out)
    assert code == 0 and "1 jobs cancelled" in printed
    assert job_state(folder).state == "cancelled"
    deadline = time.monotonic() + 60.0  # an allocation of the test before may still be coming down
    while subprocess.run(["squeue", "--noheader"], capture_output=True, check=True).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    code, printed = bench("cancel", out)
    assert code == 2 and "no job is waiting or running" in printed


def test_what_slurm_refuses_is_said_in_its_words_and_leaves_nothing(slurm: None, bench: Any, tmp_path: Path) -> None:
    arguments = ("submit", bench.config(), "--methods", "random_init", "--out", tmp_path / "out", *_CLUSTER)
    code, printed = bench(*arguments, "--set", "cluster.partition=nope")
    assert code == 2 and printed.count("Invalid partition name specified") == 1 and "Traceback" not in printed, printed
    assert not find_jobs([tmp_path / "out"])


def test_two_tasks_of_a_job_share_a_run(
    slurm: None, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # else the first node's name, which no resolver knows here
    config = bench.config(budget={"steps": 3}, evaluation={"points": 1, "images": 100}, precision="32")
    out = tmp_path / "out"
    arguments = ("submit", config, "--methods", "simclr", "--out", out, *_CLUSTER, "--set", "cluster.nodes=2")
    assert bench(*arguments)[0] == 0
    _wait(out, lambda state: state.state == "done")
    records, _ = find_records([out])
    assert [record.ledger.devices for _, record in records if record.ledger] == [2]
