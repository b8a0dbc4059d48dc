"""A run that is killed (SIGKILL) at random moments and resumed leaves the record of an undisturbed run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_MAIN = "from benchmark.cli.main import main; main()"
_KILLS = 3


def _run(arguments: tuple[Any, ...], kill_after: float) -> int | None:
    """The exit code; None for a process that had to be killed, `kill_after` seconds after its run began."""
    command = [sys.executable, "-c", _MAIN, *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if any(word in line for word in ("starting", "resuming")):
                break
        try:
            return process.wait(kill_after)
        except subprocess.TimeoutExpired:
            return None
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_run_killed_again_and_again_equals_an_undisturbed_one(bench: Any, tmp_path: Path) -> None:
    # Saved twenty times, so that a run of some seconds advances between two kills.
    config = bench.config(budget={"steps": 60}, evaluation={"points": 20, "images": 100})

    def arguments(out: str) -> tuple[Any, ...]:
        return ("run", config, "--methods", "cnn_jepa", "--out", tmp_path / out)

    assert bench(*arguments("whole"))[0] == 0
    ledger = bench.records(tmp_path / "whole")["cnn_jepa"].ledger
    long = ledger.training_time + ledger.phases.evaluation + ledger.phases.checkpointing
    draw, kills = random.Random(0), 0
    while kills < _KILLS:
        # Includes early moments: before anything is saved, while a state is read, while one is written.
        code = _run(arguments("parts"), draw.uniform(0.0, 0.25 * long))
        if code is not None:
            assert code == 0
            break
        kills += 1
    assert kills >= 3, "the run was over before it was killed"
    assert bench(*arguments("parts"))[0] == 0
    whole, parts = (bench.records(tmp_path / name)["cnn_jepa"] for name in ("whole", "parts"))
    assert parts.metrics == whole.metrics
    assert bench.history(tmp_path / "parts", "cnn_jepa") == bench.history(tmp_path / "whole", "cnn_jepa")
    assert (parts.ledger.steps, parts.ledger.samples) == (60, 960)
    (folder,) = (tmp_path / "parts").glob("tiny/cnn_jepa/seed-0-*")
    assert not [path.name for path in folder.iterdir() if path.name.startswith((".", "state"))]
