"""`bench new-method`: what it writes is installed, passes its own test, and reaches the leaderboard."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmark.records.folder import find_records

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_new_method_works_as_it_is_written(tmp_path: Path) -> None:
    site, out = tmp_path / "site", tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "CNN_JEPA_BENCH_LOCKS": str(tmp_path)}

    def run(*arguments: object) -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "bench run my_method/experiment.yaml" in run("-m", "benchmark", "new-method", "my_method")
    pytest.importorskip("setuptools", minversion="77", reason="the package's build backend is not installed")
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index")
    run(*pip, "--no-deps", "--no-build-isolation", "--target", site, tmp_path / "my_method")
    assert "my_method  " in run("-m", "benchmark", "list", "methods")
    assert "2 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", "my_method")

    tiny = ("--methods", "my_method", "--budget", "steps=6", "--set", "dataset.shapes_train=150", "--set",
            "dataset.shapes_test=60", "--set", "backbone.width=8", "--set", "evaluation.points=1",
            "--set", "batch_size=16", "--set", "my_method.bottleneck=32")  # fmt: skip
    run("-m", "benchmark", "run", "my_method/experiment.yaml", *tiny, "--quiet", "--out", out)
    with (out / "my_method" / "report" / "leaderboard.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["entry"], row["n"]) == ("my_method", "1")
    ((_, record),), problems = find_records([out])
    assert not problems and record.metrics is not None
    assert float(row["linear_top1_mean"]) == pytest.approx(record.metrics.scores.linear_top1, abs=0.01)
    assert record.environment.packages["bench-my-method"] == "0.1.0"
    assert record.method_display == "MyMethod"
    assert "MyMethod" in (out / "my_method" / "report" / "report.md").read_text()
    assert record.config["method"]["bottleneck"] == 32

    # One truth: the recipe says what the class has without it.
    recipe = yaml.safe_load((tmp_path / "my_method" / "recipe.yaml").read_text())
    code = "import sys, json, bench_my_method as m; print(m.MyMethodConfig().model_dump_json())"
    defaults = yaml.safe_load(run("-c", code))
    assert {key: defaults[key] for key in ("dimension", "bottleneck")} == {
        key: recipe["settings"][key] for key in ("dimension", "bottleneck")
    }
    assert defaults["optimizer"]["lr"] == recipe["settings"]["optimizer"]["lr"]
