"""Tiny runs on a Slurm that is started on this machine; for scripts in this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.jobs import JobState, find_jobs, job_state

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from slurm_cluster import begun, hurry, slurm_cluster, why_not

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CLUSTER", "EXPERIMENT", "begun", "bench", "slurm_cluster", "wait", "why_not"]
ENTRIES: list[dict[str, Any]] = [
    {"method": "cnn_jepa"},
    {"method": "byol", "overrides": {"projector_hidden": 32, "predictor_hidden": 32, "output_dim": 16}},
    {"method": "simclr", "overrides": {"projector_hidden": 32, "output_dim": 16}},
]
EXPERIMENT: dict[str, Any] = {
    "name": "tiny",
    "dataset": {"name": "shapes", "shapes_train": 200, "shapes_test": 60},
    "backbone": {"name": "resnet18", "stem": "small", "width": 8},
    "batch_size": 16,
    "precision": "32",
    "evaluation": {"points": 4, "images": 100},
    "entries": ENTRIES,
}
CLUSTER = ("--on", "slurm", "--set", "cluster.cpus=1")


def bench(*arguments: object) -> None:
    """Gives a command, with a thread for each process."""
    command = [sys.executable, "-m", "benchmark", *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def wait(out: Path, until: Callable[[list[JobState]], bool], patience: float = 1200.0) -> list[JobState]:
    """The states of all jobs as soon as they are as wanted; ends the script where one fails."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        states = [job_state(folder) for folder in find_jobs([out])]
        if until(states):
            return states
        for state in states:
            if state.state == "failed":
                raise SystemExit(f"{state.job.name}: {state.reason}\n{state.log.read_text()}")
        hurry()
        time.sleep(0.5)
    raise SystemExit(f"still {[(state.job.name, state.state) for state in states]}")
