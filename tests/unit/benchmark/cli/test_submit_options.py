"""The options of `bench submit`, as its jobs have them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cli.console import ConsoleReporter
from benchmark.cli.request import RunRequest
from benchmark.cli.submit_options import Wanted, absolute, without_cluster
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def _wanted(tmp_path: Path, **changes: Any) -> Wanted:
    request = RunRequest("quickstart", seeds="0,1", settings=["cluster.time=2h", "batch_size=16"], out=tmp_path)
    fields = {"on": "slurm", "cluster_file": None, "address": None, "devices": None, "track": (), "request": request}
    return Wanted(reporter=ConsoleReporter(quiet=True), **{**fields, **changes})


def test_a_job_has_the_same_command_with_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = _wanted(tmp_path).arguments("run", "quickstart", settings=["precision=32"])
    settings = ["--set", "batch_size=16", "--set", "precision=32"]
    assert words == ["run", "quickstart", "--seeds", "0,1", *settings, "--out", str(tmp_path)]
    monkeypatch.chdir(tmp_path)
    assert absolute("quickstart") == "quickstart" and absolute("mine.yaml") == str(tmp_path / "mine.yaml")
    assert without_cluster(["cluster.time=1h", "a=1"]) == ["a=1"] and without_cluster(None) == []


def test_the_experiments_section_goes_before_that_of_the_file_for_all(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("cluster: {partition: gpu, time: 4h}\n")
    cluster = _wanted(tmp_path, cluster_file=site, devices=2).cluster({"time": 60.0, "notice": 10.0})
    assert (cluster.partition, cluster.time, cluster.tasks) == ("gpu", 60.0, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition: gpu\n", "expected one section, `cluster:`, with keys and values; found 'partition'"),
        ("cluster:\n", "expected one section, `cluster:`, with keys and values; found 'cluster' without any"),
        ("cluster: {tme: 4h}\n", "unknown key 'tme'"),
    ],
)
def test_mistakes_in_that_file_name_it(tmp_path: Path, text: str, message: str) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(text)
    with pytest.raises(UserError, match=f"site.yaml: {message}"):
        _wanted(tmp_path, cluster_file=site).cluster({})


def test_jobs_share_a_device_where_they_may_meet(tmp_path: Path) -> None:
    local, slurm = _wanted(tmp_path, on="local"), _wanted(tmp_path)
    assert slurm.shares(slurm.cluster({})) and local.shares(local.cluster({"parallel": 2}))
    assert not local.shares(local.cluster({}))
    asked = _wanted(tmp_path, on="local", request=replace(local.request, share=True, device="cpu", download=True))
    assert asked.shares(asked.cluster({})) and asked.places() == ["--device", "cpu", "--download"]


def test_two_numbers_of_processes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--devices is 2, but cluster\.tasks is 4; give one of them"):
        _wanted(tmp_path, devices=2).cluster({"tasks": 4})


def test_the_precision_is_settled_for_all_jobs(tmp_path: Path) -> None:
    wanted = _wanted(tmp_path)
    assert wanted.pinned("32", wanted.cluster({})) == []
    assert wanted.pinned("auto", wanted.cluster({"gpus": 1})) == ["precision=bf16"]
