"""`bench submit --on slurm` on a real Slurm of two nodes, which the tests start on this machine.

`perf/preemption.py` does the same as the first test here with more runs and preemptions, and with a time limit.
"""

from __future__ import annotations

import importlib
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from slurm_cluster import hurry, listed, slurm_cluster, why_not

from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.records.folder import find_records
from benchmark.records.jobs import find_jobs, job_state
from benchmark.records.study import read_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.records.jobs import JobState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PERF = Path(__file__).parents[2] / "perf"
_CLUSTER = ("--on", "slurm", "--set", "cluster.time=30m", "--set", "cluster.cpus=1")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster for all tests of this file."""
    if reason := why_not():
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("slurm")
        patch.setenv(FOLDER_VARIABLE, str(folder / "locks"))
        patch.setenv("OMP_NUM_THREADS", "1")
        with slurm_cluster(folder):
            yield


@pytest.fixture
def preemption(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The script `perf/preemption.py`."""
    monkeypatch.syspath_prepend(str(PERF))
    yield importlib.import_module("preemption")
    for name in ("preemption", "slurm_runs", "claims"):
        sys.modules.pop(name, None)


def _wait(out: Path, until: Callable[[JobState], bool]) -> list[JobState]:
    """The states of the jobs as soon as all are as wanted."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        states = [job_state(folder) for folder in find_jobs([out])]
        if states and all(map(until, states)):
            return states
        hurry()
        time.sleep(0.5)
    raise AssertionError([(state, state.log.is_file() and state.log.read_text()) for state in states])


def _is_done(state: JobState) -> bool:
    assert state.state != "failed", (state, state.log.is_file() and state.log.read_text())
    return state.state == "done"


def test_runs_that_are_preempted_and_cancelled_equal_undisturbed_ones(
    slurm: None, bench: Any, preemption: Any, tmp_path: Path
) -> None:
    config = bench.config(budget={"steps": 60}, evaluation={"points": 4, "images": 100}, precision="32")
    whole, parts = tmp_path / "whole", tmp_path / "an odd 'name"
    assert bench("run", config, "--methods", "simclr,cnn_jepa", "--out", whole)[0] == 0

    arguments = (config, "--methods", "simclr,cnn_jepa", "--out", parts)
    code, printed = bench("plan", *arguments, *_CLUSTER[:2])
    assert code == 0 and "2 of 2 jobs to submit" in printed and "no step cost" in printed
    code, printed = bench("submit", *arguments, *_CLUSTER, "--dry-run")
    script = (parts / "tiny" / "jobs" / "dry-run-slurm.sh").read_text()
    assert code == 0 and "2 of 2 jobs would be submitted" in printed
    assert "#SBATCH --time=30\n" in script and "#SBATCH --signal=USR2@120\n" in script
    assert not find_jobs([parts])

    since = time.time()
    code, printed = bench("submit", *arguments, *_CLUSTER)
    assert code == 0 and f"2 of 2 jobs submitted; bench status {shlex.quote(str(parts / 'tiny'))} shows" in printed, (
        printed
    )
    assert "nothing to submit" in bench("submit", *arguments, *_CLUSTER)[1]
    assert len(preemption.preempt(parts, 3, random.Random(0), pause=6.0)) == 3
    code, printed = bench("cancel", parts)
    assert code == 0 and " jobs cancelled" in printed, printed
    states = _wait(parts, lambda state: state.state in ("cancelled", "done"))
    assert any(state.state == "cancelled" for state in states)
    while "still saving" in (printed := bench("submit", *arguments, *_CLUSTER)[1]):
        time.sleep(0.5)
    assert " of 2 jobs submitted" in printed, printed
    _wait(parts, _is_done)
    code, printed = bench("status", parts)
    assert code == 0 and "2 of 2 jobs done" in printed
    assert "nothing to submit" in bench("submit", *arguments, *_CLUSTER)[1]
    compared = preemption.compare(whole, parts, since)
    assert [wrong for _, wrong in compared] == [[], []]


@pytest.mark.thorough
def test_a_sweep_of_six_trials_and_costs_on_a_node_of_each_kind(slurm: None, bench: Any, tmp_path: Path) -> None:
    config = bench.config(budget={"steps": 2}, evaluation={"points": 1, "images": 100}, precision="32")
    sweep, out = bench.folder / "rate.yaml", tmp_path / "out"
    values = {"simclr.temperature": {"values": [0.1, 0.2, 0.3]}, "simclr.projector_layers": {"values": [1, 2]}}
    sweep.write_text(
        yaml.safe_dump({"experiment": "tiny.yaml", "entries": ["simclr"], "parameters": values, "seeds": [0]})
    )
    arguments = ("submit", "--sweep", sweep, "--out", out, *_CLUSTER, "--set", "cluster.parallel=2")
    code, printed = bench(*arguments)
    assert code == 0 and "2 of 2 jobs submitted" in printed, printed
    assert [state.state for state in _wait(out, _is_done)] == ["done", "done"]
    (study,) = read_study(out / "rate" / "study.json").studies
    assert [trial.state for trial in study.trials] == ["complete"] * 6
    assert "trials: 6 complete" in bench("status", out)[1]

    # The two nodes are one machine: each keeps its own locks, and one calls itself a machine with two threads.
    apart = f"export {FOLDER_VARIABLE}={tmp_path}/$SLURMD_NODENAME OMP_NUM_THREADS=${{SLURMD_NODENAME#n}}"
    costs = tmp_path / "costs"
    arguments = ("submit", config, "--cost", "--methods", "simclr", "--out", costs, *_CLUSTER[:4])
    code, printed = bench(*arguments, "--set", "cluster.measured=[old,new]", "--set", f"cluster.setup=['{apart}']")
    assert code == 0 and "2 of 2 jobs submitted" in printed, printed
    # Both measure at once; to the end it would take a minute.
    states = _wait(costs, lambda state: len(list(costs.glob("tiny/costs/.*/.claim-*"))) == 2)
    assert [(state.job.name, state.where) for state in states] == [
        ("step costs on new", "n2"),
        ("step costs on old", "n1"),
    ]
    assert bench("cancel", costs)[0] == 0


def test_what_fails_on_a_node_says_why_and_is_submitted_again(slurm: None, bench: Any, tmp_path: Path) -> None:
    out, fake = tmp_path / "out", tmp_path / "fake" / "torch-1.0.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n")
    arguments = ("submit", bench.config(budget={"steps": 2}, precision="32"), "--out", out, *_CLUSTER)
    old = f"cluster.setup=['export PYTHONPATH={fake.parent}:$PYTHONPATH']"
    assert bench(*arguments, "--methods", "random_init", "--set", old)[0] == 0
    assert bench(*arguments, "--methods", "simclr", "--set", "cluster.memory=0.2")[0] == 0
    first, second = _wait(out, lambda state: state.state == "failed")
    assert "has torch 1.0, the job was submitted with 2." in first.reason
    assert second.reason == "killed (SIGKILL), most likely for using more memory than it may: raise cluster.memory"
    code, printed = bench("status", out)
    assert code == 0 and "2 failed" in printed and f"random_init, seed 0, steps=2: {first.log}" in printed

    hold = ("--set", "cluster.sbatch={begin: now+1hour}")
    code, printed = bench(*arguments, "--methods", "simclr,random_init", *hold)
    assert code == 0 and "2 of 2 jobs submitted" in printed, printed
    assert [job_state(folder).state for folder in find_jobs([out])] == ["waiting", "waiting"]
    code, printed = bench("cancel", out)
    assert code == 0 and "2 jobs cancelled" in printed
    assert [job_state(folder).state for folder in find_jobs([out])] == ["cancelled", "cancelled"]
    assert bench("cancel", out) == (2, f"error: {out}: no job is waiting or running\n")


def test_an_evaluation_is_a_job(slurm: None, bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bench.finished(out, "random_init")
    code, printed = bench("submit", "--evaluate", out / "tiny", "--protocols", "lowlevel-v1", *_CLUSTER)
    assert code == 0 and "1 of 1 jobs submitted" in printed, printed
    _wait(out, _is_done)
    assert [path.name for path in out.glob("tiny/random_init/*/probes/*")] == ["lowlevel-v1.json"]


def test_what_slurm_refuses_is_said_in_its_words_and_leaves_nothing(slurm: None, bench: Any, tmp_path: Path) -> None:
    arguments = ("submit", bench.config(), "--methods", "random_init", "--out", tmp_path / "out", *_CLUSTER)
    code, printed = bench(*arguments, "--set", "cluster.partition=nope")
    assert code == 2 and printed.count("Invalid partition name specified") == 1 and "Traceback" not in printed, printed
    assert not find_jobs([tmp_path / "out"])


def test_a_folder_that_is_gone_from_the_nodes_is_said_once(slurm: None, bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("submit", bench.config(), "--methods", "random_init", "--out", out, *_CLUSTER)
    assert bench(*arguments, "--set", "cluster.sbatch={begin: now+1hour}")[0] == 0
    logs = out / "tiny" / "jobs" / "slurm"
    logs.rename(tmp_path / "away")
    logs.write_text("not a folder")  # as on a node that does not see it
    (folder,) = find_jobs([out])
    job = job_state(folder).job.id
    subprocess.run(["scontrol", "update", f"jobid={job}", "StartTime=now"], check=True)
    end = time.monotonic() + 60
    while job in listed():
        assert time.monotonic() < end
        time.sleep(0.2)
    logs.unlink()
    code, printed = bench(*arguments)
    assert code == 2 and "its node does not see" in printed and "put --out on a disk that nodes see" in printed, printed
    assert job_state(folder).state == "failed"


@pytest.mark.thorough
def test_two_tasks_of_a_job_share_a_run(
    slurm: None, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # else the first node's name, which no resolver knows here
    config = bench.config(budget={"steps": 3}, evaluation={"points": 1, "images": 100}, precision="32")
    out = tmp_path / "out"
    arguments = ("submit", config, "--methods", "simclr", "--out", out, *_CLUSTER, "--set", "cluster.nodes=2")
    assert bench(*arguments)[0] == 0
    _wait(out, _is_done)
    records, _ = find_records([out])
    assert [record.ledger.devices for _, record in records if record.ledger] == [2]
