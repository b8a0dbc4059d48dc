"""How many processes a command has, and who has started them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from lightning_fabric.plugins import environments

from benchmark.errors import UserError
from benchmark.machine.launch import LAUNCHERS, Launcher, World, find_world, is_spokesman

TORCHRUN, SRUN = LAUNCHERS

# The second process of the second machine, of two machines with two processes each.
_ENVIRONMENTS = {
    "torchrun": {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
    },
    "srun": {
        "SLURM_JOB_NAME": "train.sh",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_NTASKS": "4",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_PROCID": "3",
        "SLURM_LOCALID": "1",
        "SLURM_NODEID": "1",
    },
}


def _set(monkeypatch: pytest.MonkeyPatch, launcher: str, *without: str, **more: str) -> None:
    for name, value in {**_ENVIRONMENTS[launcher], **more}.items():
        if name not in without:
            monkeypatch.setenv(name, value)


def test_devices_are_processes_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_world(None) == World(1, 1)
    assert find_world(3) == World(3, 3)
    with pytest.raises(UserError, match="--devices is 0; expected at least 1"):
        find_world(0)
    # As in a process that Fabric has started for the second of three devices.
    _set(monkeypatch, "torchrun", "RANK", WORLD_SIZE="3")
    assert find_world(3) == World(3, 3)


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda launcher: launcher.name)
def test_a_launchers_processes_join_as_fabric_numbers_them(monkeypatch: pytest.MonkeyPatch, launcher: object) -> None:
    assert launcher in (TORCHRUN, SRUN)
    name = launcher.name  # type: ignore[attr-defined]
    _set(monkeypatch, name)
    assert find_world(None) == find_world(4) == World(4, 2, launcher)  # type: ignore[arg-type]
    environment = getattr(environments, launcher.environment)()  # type: ignore[attr-defined]
    assert (environment.world_size(), environment.global_rank(), environment.local_rank()) == (4, 3, 1)
    with pytest.raises(UserError, match=f"--devices is 2, but {name} has started 4 processes; leave --devices out"):
        find_world(2)


@pytest.mark.parametrize(
    ("launcher", "missing", "advice"),
    [
        ("torchrun", "MASTER_PORT", "start all processes with torchrun, or unset RANK and LOCAL_RANK"),
        ("srun", "SLURM_NTASKS_PER_NODE", "start the processes with srun --ntasks-per-node N"),
    ],
)
def test_a_half_set_environment_is_refused_aloud(
    monkeypatch: pytest.MonkeyPatch, launcher: str, missing: str, advice: str
) -> None:
    _set(monkeypatch, launcher, missing)
    with pytest.raises(UserError, match=f"the environment looks like {launcher}'s, but has no {missing}; {advice}"):
        find_world(None)
    assert is_spokesman()  # there may be no other process


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=lambda launcher: launcher.name)
@pytest.mark.parametrize("value", ["", "two", "-1", "1.5", "\u0662", "9" * 5000])
def test_what_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch, launcher: Launcher, value: str) -> None:
    for name in set(launcher.required) - {"MASTER_ADDR"}:
        _set(monkeypatch, launcher.name, **{name: value})
        with pytest.raises(UserError, match=f"the environment variable {name} is .*; expected a whole number"):
            find_world(None)
        is_spokesman()  # who reports the error needs no number
    _set(monkeypatch, launcher.name, **{launcher.size: "0"})
    with pytest.raises(UserError, match=f"{launcher.name} has started 0 processes"):
        find_world(None)


def test_a_stray_local_rank_is_no_silent_single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert find_world(None) == World(1, 1)
    with pytest.raises(UserError, match="has no RANK, WORLD_SIZE"):
        find_world(2)


@pytest.mark.parametrize(
    "shell",
    [
        {"SLURM_JOB_NAME": "train.sh", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},  # sbatch
        {"SLURM_JOB_NAME": "interactive"},  # salloc
        {"SLURM_JOB_NAME": "interactive", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},  # salloc, in a step
    ],
)
def test_the_shell_of_a_slurm_job_is_one_process(monkeypatch: pytest.MonkeyPatch, shell: dict[str, str]) -> None:
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4", **shell}.items():
        monkeypatch.setenv(name, value)
    assert find_world(None) == World(1, 1)
    assert find_world(2) == World(2, 2)
    assert is_spokesman()


def test_srun_inside_of_salloc_and_torchrun_inside_of_srun(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, "srun", SLURM_JOB_NAME="interactive")
    assert find_world(None).launcher is SRUN
    _set(monkeypatch, "torchrun")
    assert find_world(None).launcher is TORCHRUN


def test_machines_with_different_numbers_of_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, "srun", SLURM_NTASKS_PER_NODE="3")
    with pytest.raises(UserError, match="srun has started 4 processes, 3 of them on this machine"):
        find_world(None)


def test_the_first_process_of_a_machine_reports_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert is_spokesman()  # a variable that somebody left behind
    monkeypatch.setenv("MASTER_PORT", "1")
    assert not is_spokesman()  # started by Fabric
    for launcher in LAUNCHERS:
        _set(monkeypatch, launcher.name)
        assert not is_spokesman()
        monkeypatch.setenv(launcher.local_rank, "0")
        assert is_spokesman()
        for name in _ENVIRONMENTS[launcher.name]:
            monkeypatch.delenv(name)


def test_torch_is_not_needed() -> None:
    code = "import sys, benchmark.machine.launch as launch; launch.find_world(2); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
