"""How many processes run a command, and which launcher has started them. No torch here.

A launcher is a program that starts all processes of a command, such as `torchrun` or Slurm's `srun`. To support another
one, add it to `LAUNCHERS`. Without a launcher, Fabric starts the processes that `--devices N` asks for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Launcher:
    """A program that starts all processes of a command, and the variables that it sets in each of them.

    Attributes:
        environment: the class of `lightning_fabric.plugins.environments` that reads these variables.
        size: the variable with the number of processes.
        local_size: the one with their number on this machine; without it, all are there.
        local_rank: the one with this process's number among those.
        required: all variables that Fabric's class needs.
        advice: what to do where one of them is missing.
    """

    name: str
    environment: str
    has_started_this: Callable[[], bool]
    size: str
    local_size: str
    local_rank: str
    required: tuple[str, ...]
    advice: str

    def missing(self) -> list[str]:
        """Required variables that are not set."""
        return [name for name in self.required if name not in os.environ]


_TORCHRUN = Launcher(
    name="torchrun",
    environment="TorchElasticEnvironment",
    has_started_this=lambda: "RANK" in os.environ,
    size="WORLD_SIZE",
    local_size="LOCAL_WORLD_SIZE",
    local_rank="LOCAL_RANK",
    required=("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"),
    advice="start all processes with torchrun, or unset RANK and LOCAL_RANK",
)
_SRUN = Launcher(
    name="srun",
    environment="SLURMEnvironment",
    # Only `srun` sets this. SLURM_NTASKS, which Fabric relies on, is also set in the shell of a batch job or `salloc`,
    # where one process runs.
    has_started_this=lambda: os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1",
    size="SLURM_NTASKS",
    local_size="SLURM_NTASKS_PER_NODE",
    local_rank="SLURM_LOCALID",
    required=("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"),
    advice="start the processes with srun --ntasks-per-node N, or a single one with srun --ntasks 1",
)
LAUNCHERS = (_TORCHRUN, _SRUN)  # the first that has started this process counts: torchrun may run inside a Slurm job


@dataclass(frozen=True)
class World:
    """How many processes run a command, a device each, and how many of them on this machine.

    `launcher` has started them; without one, they start each other.
    """

    size: int = 1
    local_size: int = 1
    launcher: Launcher | None = None


def find_world(devices: int | None) -> World:
    """How many processes a command runs in, from `--devices` or from the launcher's environment.

    Raises:
        UserError: the two contradict each other, or the environment is incomplete.
    """
    if devices is not None and devices < 1:
        raise UserError(f"--devices is {devices}; expected at least 1")
    launcher = _launcher()
    if launcher is None and (devices or 1) > 1 and "LOCAL_RANK" in os.environ and "MASTER_PORT" not in os.environ:
        launcher = _TORCHRUN  # half of its environment: Fabric would start no processes, its own have both variables
    if launcher is None:
        return World(devices or 1, devices or 1)
    if missing := launcher.missing():
        raise UserError(
            f"the environment looks like {launcher.name}'s, but has no {', '.join(missing)}; {launcher.advice}"
        )
    numbers = {name: _number(name) for name in launcher.required if name != "MASTER_ADDR"}
    size = numbers[launcher.size]
    if devices not in (None, size):
        raise UserError(
            f"--devices is {devices}, but {launcher.name} has started {size} processes; leave --devices out"
        )
    local_size = _number(launcher.local_size) if launcher.local_size in os.environ else size
    if size < 1 or local_size < 1:
        raise UserError(f"{launcher.name} has started {size} processes, {local_size} of them here; expected at least 1")
    if size % local_size:
        raise UserError(
            f"{launcher.name} has started {size} processes, {local_size} of them on this machine; "
            "every machine needs the same number"
        )
    return World(size, local_size, launcher)


def _number(variable: str) -> int:
    """The whole number in an environment variable.

    Raises:
        UserError: it is none.
    """
    text = os.environ[variable]
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UserError(f"the environment variable {variable} is {text!r}; expected a whole number")
    return int(text)


def is_spokesman() -> bool:
    """Whether this process reports errors to the user: of those on one machine, the first."""
    launcher = _launcher()
    if launcher is not None:
        return bool(launcher.missing()) or os.environ[launcher.local_rank] == "0"
    return "MASTER_PORT" not in os.environ or os.environ.get("LOCAL_RANK", "0") == "0"  # as Fabric starts processes


def _launcher() -> Launcher | None:
    return next((launcher for launcher in LAUNCHERS if launcher.has_started_this()), None)


def is_first_process() -> bool:
    """Whether this process is the first of all that share a command."""
    rank = next((os.environ[name] for name in ("RANK", "SLURM_PROCID") if _launcher() and name in os.environ), None)
    return is_spokesman() if rank is None else rank == "0"
