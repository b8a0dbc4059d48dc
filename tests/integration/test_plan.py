"""`bench plan` and the estimate of `bench run`: costs from real steps; no files are left."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from made_costs import make_cost, store_cost
from PIL import Image

from benchmark.machine.environment import hardware
from benchmark.runs import estimate as planning

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.estimates


@pytest.mark.slow
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
    assert "12 runs, about" in printed and "--keep measures these steps" in printed
    speed = {n: float(rows["simclr", f"steps={n}"][3].replace(",", "")) for n in (10, 30)}
    assert speed[10] == speed[30] > 0  # tried out once
    assert set(tmp_path.rglob("*")) - before <= {config, *(tmp_path / "locks").rglob("*"), tmp_path / "locks"}


@pytest.mark.slow
def test_a_budget_of_time_costs_that_time(bench: Any, tmp_path: Path) -> None:
    code, printed = bench("plan", bench.config(), "--methods", "simclr", "--budget", "wall_clock=2m")
    assert code == 0, printed
    (row,) = (line for line in printed.splitlines() if "wall_clock=" in line)
    assert "2.0 min" in row and "0.03" in row  # device-hours


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budget", "training", "device_hours"),
    # The budget stays: the same wall-clock time at twice the device-hours, or the same device-hours in half the time.
    [("wall_clock=2m", "2.0 min", "0.067"), ("device_hours=0.1", "3.0 min", "0.10")],
)
def test_several_devices_are_assumed_to_divide_the_work(
    bench: Any, budget: str, training: str, device_hours: str
) -> None:
    plan = ("plan", bench.config(), "--methods", "simclr", "--budget", budget)
    code, printed = bench(*plan, "--devices", "2")
    assert code == 0, printed
    (row,) = (line for line in printed.splitlines() if budget.partition("=")[0] in line)
    assert f" {training} " in row and f" {device_hours} " in row
    assert "assumes that 2 devices divide the work without loss, which was not measured" in printed


@pytest.mark.slow
def test_a_plan_reads_a_step_cost_instead_of_trying_steps_out(bench: Any, tmp_path: Path) -> None:
    bench.finished(tmp_path / "trained", "simclr")
    record = bench.records(tmp_path / "trained")["simclr"]
    here = hardware(torch.device("cpu"), 1, record.config["precision"]).model_dump()
    cost = make_cost([record], {"simclr": 0.5}, here, reference="simclr", experiment="tiny")
    path = store_cost(tmp_path / "out", cost)
    plan = ("plan", bench.config(), "--methods", "simclr,random_init", "--budget", "calibrated_time=10m,20m")
    code, printed = bench(*plan, "--costs", path)
    assert code == 0, printed
    rows = [line.split() for line in printed.splitlines() if "calibrated_time=" in line and "simclr" in line]
    assert [row[1:4] for row in rows] == [
        ["calibrated_time=600s", "(1200", "steps)"],
        ["calibrated_time=1200s", "(2400", "steps)"],
    ]
    assert [row[7:10] for row in rows] == [["10.0", "min", "±2.0%"], ["20.0", "min", "±2.0%"]]
    assert f"estimates by step cost {cost.key[:8]}, 2026-01-06: simclr, per run" in printed
    assert "--keep" not in printed and "a few steps" not in printed


@pytest.mark.slow
def test_a_run_estimates_the_missing_runs(bench: Any, tmp_path: Path) -> None:
    arguments = ("run", bench.config(), "--out", tmp_path, "--methods", "simclr")
    code, printed = bench(*arguments)
    assert code == 0 and re.search(r"1 run to come, about [\d.]+ s of training", printed)
    assert "to come" not in bench(*arguments)[1]  # nothing is


@pytest.mark.slow
def test_an_interruption_during_the_estimate_leaves_no_files(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("run", bench.config(), "--out", tmp_path / "out", "--methods", "simclr,vicreg")
    with monkeypatch.context() as patch:
        patch.setattr(planning, "_try_out", lambda *_: signal.raise_signal(signal.SIGINT))
        code, printed = bench(*arguments)
    assert code == 130 and "interrupting: after the entry that is tried out" in printed
    assert "the same command resumes" in printed and not list(tmp_path.rglob("state.pt"))
    assert bench(*arguments)[0] == 0
    assert set(bench.records(tmp_path / "out")) == {"simclr", "vicreg"}


@pytest.mark.slow
def test_bad_requests_are_refused_as_in_run(bench: Any) -> None:
    for options, message in (
        (("--methods", "simcrl"), "did you mean 'simclr'"),
        (("--set", "batch_size=1000"), "batch_size is 1000, but the training split of shapes has at most 200 images"),
        (("--device", "tpu"), "choices: auto, cpu, cuda, cuda:N"),
        (("--devices", "3"), "batch_size is 16, which does not divide into 3 devices x 1 micro-batches"),
        (("--device", "cpu", "--devices", "2", "--set", "byol.sync_batch_norm=true"), "batch norm on GPUs alone"),
        (("--devices", "0"), "--devices"),
    ):
        code, printed = bench("plan", bench.config(), *options)
        assert code == 2 and message in printed and "Traceback" not in printed


def _images(folder: Path, size: tuple[int, int]) -> Path:
    """An image folder of two classes, 24 and 4 images."""
    draw = np.random.default_rng(0)
    for split, number in (("train", 12), ("val", 2)):
        for name in ("ant", "bee"):
            (folder / split / name).mkdir(parents=True)
            for index in range(number):
                pixels = draw.integers(0, 256, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")
    return folder


@pytest.mark.slow
def test_cifar10_is_planned_on_a_folder_of_its_images(bench: Any, tmp_path: Path) -> None:
    """The full ResNet-18 and its ViT; only the batch is smaller."""
    folder = _images(tmp_path / "images", (32, 32))
    small = ("--set", "batch_size=4", "--set", "evaluation.images=null", "--set", "evaluation.points=1")
    code, printed = bench(
        "plan", "cifar10", "--set", "dataset.name=folder", "--data", folder, "--methods", "cnn_jepa,ijepa", *small
    )
    assert code == 0, printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if "epochs=100" in line}
    assert {entry: row[2] for entry, row in rows.items()} == {"cnn_jepa": "3", "ijepa": "3"}  # three seeds each
    assert all(float(row[3].replace(",", "")) > 0 for row in rows.values())


@pytest.mark.slow
def test_the_published_batch_is_refused_on_too_few_images(bench: Any, tmp_path: Path) -> None:
    folder = _images(tmp_path / "images", (40, 50))
    assert bench("data", "convert", folder, tmp_path / "few.h5", "--resize", "256")[0] == 0
    for name in ("imagenet100", "imagenet1k"):
        code, printed = bench("plan", name, "--data", tmp_path / "few.h5")
        assert code == 2 and "batch_size is 512, but the training split of few has 2" in printed, printed
