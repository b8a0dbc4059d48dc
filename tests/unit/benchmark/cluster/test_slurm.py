"""The scripts for Slurm; tests/integration/test_submit_slurm.py runs them on a real one."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.errors import UserError
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.records.jobs import JobRecord

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'cnn-jepa-bench[slurm]'")
submitit = pytest.importorskip("submitit.slurm.slurm")
from benchmark.cluster import slurm  # noqa: E402
from benchmark.cluster.slurm import Slurm  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.cluster.engine import Posted


def _posted(folder: Path, *limits: float, **fields: Any) -> list[Posted]:
    return [
        (folder / "jobs" / str(number), JobRecord(kind="run", name="a", arguments=[], requested=limit, **fields))
        for number, limit in enumerate(limits)
    ]


def test_the_script_asks_for_what_the_section_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    cluster = ClusterSpec(
        partition="gpu", account="lab", constraint="a100", notice=60, gpus=4, cpus=8, memory=64, nodes=2,
        exclusive=True, sbatch={"qos": "low", "job-name": "mine"}, setup=("module load cuda",),
    )  # fmt: skip
    text = Slurm().script(_posted(tmp_path, 3600, 3600, 5400), cluster)
    wanted = (
        "--partition=gpu", "--account=lab", "--constraint=a100", "--signal=USR2@60", "--gpus-per-node=4",
        "--cpus-per-task=8", "--mem=65536M", "--nodes=2", "--ntasks-per-node=4", "--exclusive", "--qos=low",
        "--requeue", "--time=60", "--time=90", "--job-name=mine",
    )  # fmt: skip
    for option in wanted:
        assert f"#SBATCH {option}\n" in text, option
    assert "#SBATCH --array=0-1%2\n" in text  # all at a time; the third has a time limit of its own
    assert "bench\n" not in text
    assert "module load cuda\n" in text and text.count("#!/bin/bash") == 2


def test_jobs_that_are_limited_together_are_one_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    text = Slurm().script(_posted(tmp_path, 3600, 3600, 5400), ClusterSpec(parallel=2))
    assert text.count("#SBATCH --array=0-2%2\n") == text.count("#SBATCH --time=90\n") == text.count("#!/bin/bash") == 1


def test_a_kind_of_node_replaces_the_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    text = Slurm().script(_posted(tmp_path, 600, constraint="h100"), ClusterSpec(constraint="a100"))
    assert "#SBATCH --constraint=h100\n" in text and "a100" not in text


def test_no_slurm_here_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match=r"no Slurm on this machine \(sbatch is not found\); submit from a login node"):
        Slurm().check(ClusterSpec())


def test_the_script_looks_after_a_process_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    monkeypatch.setattr(slurm.sys, "executable", "true")
    text = Slurm().script(_posted(tmp_path / "a b", 600), ClusterSpec())
    (line,) = [line for line in text.splitlines() if "benchmark.cluster.killed" in line]
    assert f"true -m benchmark.cluster.killed '{tmp_path / 'a b'}' $code; fi" in line
    body = text[text.index("code=$?") :]
    for code in (0, 9, 137, 255):
        done = subprocess.run(["bash", "-xc", f"(exit {code})\n{body}"], check=False, capture_output=True, text=True)
        assert done.returncode == code and (f" {code}\n+ exit" in done.stderr) == (code == 137), done.stderr
