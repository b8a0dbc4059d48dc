"""What is submitted for an experiment's runs and step costs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cli.console import ConsoleReporter
from benchmark.cli.request import RunRequest
from benchmark.cli.submissions import cost_submission, run_submission
from benchmark.cli.submit_options import Wanted

if TYPE_CHECKING:
    from pathlib import Path


def _wanted(tiny: Any, out: Path, *settings: str, on: str = "local", device: str = "auto") -> Wanted:
    request = RunRequest(str(tiny()), methods="random_init", settings=list(settings), device=device, out=out)
    return Wanted(request, on, None, None, None, (), ConsoleReporter(quiet=True))


def test_each_run_is_a_job_whose_key_bench_run_would_have(tiny: Any, bench: Any, tmp_path: Path) -> None:
    submission, (planned,) = run_submission(
        _wanted(tiny, tmp_path / "out", "precision=32", "cluster.cpus=3"), claim=True
    )
    ((name, job),) = submission.jobs
    assert name == f"random_init-seed-0-{planned.spec.key[:8]}" and job.key == planned.spec.key
    assert (submission.folder / name / job.target).resolve() == planned.spec.folder(tmp_path / "out")
    assert job.threads == 3 and "cluster.cpus=3" not in job.arguments
    assert (submission.results / "experiment.yaml").is_file()


def test_the_nodes_may_have_devices_that_this_machine_lacks(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.cli.submissions.open_engine", lambda *_: SimpleNamespace(check=lambda cluster: None))
    wanted = _wanted(tiny, tmp_path / "out", "cluster.gpus=1", on="slurm", device="cuda")
    submission, _ = run_submission(wanted, claim=False)
    words = submission.jobs[0][1].arguments
    assert words[words.index("--device") + 1] == "cuda" and "--share" in words


@pytest.mark.parametrize(("settings", "kinds"), [((), [None]), (("cluster.measured=[a100, h100]",), ["a100", "h100"])])
def test_costs_are_measured_once_for_each_kind_of_node(
    tiny: Any, tmp_path: Path, settings: tuple[str, ...], kinds: list[str | None]
) -> None:
    submission = cost_submission(_wanted(tiny, tmp_path, *settings))
    assert [job.constraint for _, job in submission.jobs] == kinds and submission.cluster.exclusive
    assert submission.jobs[0][1].arguments[0] == "cost"
