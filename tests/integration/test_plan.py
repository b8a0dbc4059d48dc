"""`bench plan`: what a run would cost, from real steps, and nothing left behind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_time_budget_is_what_it_costs(bench: Any, tmp_path: Path) -> None:
    code, printed = bench("plan", bench.config(), "--methods", "simclr", "--budget", "wall_clock=2m")
    assert code == 0, printed
    (row,) = (line for line in printed.splitlines() if "wall_clock=" in line)
    assert "2m00s" in row and "0.03" in row  # device-hours


def test_a_run_says_what_is_to_come(bench: Any, tmp_path: Path) -> None:
    arguments = ("run", bench.config(), "--out", tmp_path, "--methods", "simclr")
    code, printed = bench(*arguments)
    assert code == 0 and re.search(r"1 runs? to come, about \d+s of training", printed)
    assert "to come" not in bench(*arguments)[1]  # nothing is


def test_bad_requests_are_refused_as_in_run(bench: Any) -> None:
    for options, message in (
        (("--methods", "simcrl"), "did you mean 'simclr'"),
        (("--set", "batch_size=1000"), "batch_size is 1000, but the training split of shapes has 180 images"),
        (("--device", "tpu"), "choices: auto, cpu, cuda, cuda:N"),
    ):
        code, printed = bench("plan", bench.config(), *options)
        assert code == 2 and message in printed and "Traceback" not in printed
