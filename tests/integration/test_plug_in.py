"""The example of the documentation: a method in a package of its own, installed and compared."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.records.folder import find_records

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "simsiam"


def test_the_example_is_as_short_as_the_documentation_says() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in EXAMPLE.iterdir() if path.is_file())
    assert lines < 80


@pytest.mark.slow
def test_an_installed_package_brings_its_method_onto_the_leaderboard(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="the example's build backend is not installed")
    package, site, out = tmp_path / "package", tmp_path / "site", tmp_path / "out"
    shutil.copytree(EXAMPLE, package)  # building leaves files beside the sources
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", site, package], check=True, timeout=120)
    assert (site / "bench_simsiam.py").is_file()

    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "CNN_JEPA_BENCH_LOCKS": str(tmp_path)}
    tiny = ("--methods", "simsiam", "--budget", "steps=6", "--set", "dataset.shapes_train=150", "--set",
            "dataset.shapes_test=60", "--set", "backbone.width=8", "--set", "evaluation.points=1",
            "--set", "batch_size=16", "--set", "simsiam.bottleneck=32")  # fmt: skip
    command = [sys.executable, "-m", "benchmark", "run", package / "experiment.yaml", *tiny, "--quiet", "--out", out]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    with (out / "simsiam" / "report" / "leaderboard.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["entry"], row["n"]) == ("simsiam", "1")
    ((_, record),), problems = find_records([out])
    assert not problems
    assert record.metrics is not None
    assert float(row["linear_top1_mean"]) == pytest.approx(record.metrics.scores.linear_top1, abs=0.01)
    assert record.environment.packages["bench-simsiam"] == "0.1.0"
    assert record.config["method"]["bottleneck"] == 32
    assert record.config["lr"] == 0.03 * 16 / 256
    assert -1.0 <= (record.metrics.final_loss or 0.0) < 0.0  # a mean of negative cosines
