"""`bench plan` and the estimate of `bench run`: costs from real steps; no files are left."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from benchmark.runs import estimate as planning

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.estimates


def test_every_entry_and_rung_is_estimated_and_nothing_is_trained(bench: Any, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    config = bench.config()
    code, printed = bench(
        "plan", config, "--methods", "simclr,cnn_jepa,random_init", "--seeds", "0,1", "--budget", "steps=10,30"
    )
    assert code == 0, printed
    rows = {tuple(line.split()[:2]): line.split() for line in printed.splitlines() if "steps=" in line}
    assert set(rows) == {(e, f"steps={n}") for e in ("simclr", "cnn_jepa", "random_init") for n in (10, 30)}
    assert all(row[2] == "2" for row in rows.values())  # runs
    assert "12 runs, about" in printed
    speed = {n: float(rows["simclr", f"steps={n}"][3].replace(",", "")) for n in (10, 30)}
    assert speed[10] == speed[30] > 0  # tried out once
    assert set(tmp_path.rglob("*")) - before <= {config, *(tmp_path / "locks").rglob("*"), tmp_path / "locks"}


def test_a_budget_of_time_costs_that_time(bench: Any, tmp_path: Path) -> None:
    code, printed = bench("plan", bench.config(), "--methods", "simclr", "--budget", "wall_clock=2m")
    assert code == 0, printed
    (row,) = (line for line in printed.splitlines() if "wall_clock=" in line)
    assert "2m00s" in row and "0.03" in row  # device-hours


@pytest.mark.parametrize(
    ("budget", "training", "device_hours"),
    # The budget stays: the same wall-clock time at twice the device-hours, or the same device-hours in half the time.
    [("wall_clock=2m", "2m00s", "0.067"), ("device_hours=0.1", "3m00s", "0.10")],
)
def test_several_devices_are_assumed_to_divide_the_work(
    bench: Any, budget: str, training: str, device_hours: str
) -> None:
    plan = ("plan", bench.config(), "--methods", "simclr", "--budget", budget)
    code, printed = bench(*plan, "--devices", "2")
    assert code == 0, printed
    (row,) = (line.split() for line in printed.splitlines() if budget.partition("=")[0] in line)
    assert row[5] == training and row[7] == device_hours
    assert "if 2 devices divide the work without loss, never measured" in printed


def test_a_run_estimates_the_missing_runs(bench: Any, tmp_path: Path) -> None:
