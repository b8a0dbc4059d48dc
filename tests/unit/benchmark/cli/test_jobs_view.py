"""Jobs on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.cli.jobs_view import Progress, print_plan, print_status, summary
from benchmark.cluster.requested import PlannedJob
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.records.jobs import JobRecord, job_state, note, write_job, write_progress

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _jobs(folder: Path) -> list[Path]:
    """One that runs, one that failed, one that waits."""
    folders = [folder / name for name in ("a", "b", "c")]
    for path in folders:
        write_job(path, JobRecord(kind="cost", name=f"job {path.name}", arguments=[]))
    note(folders[0], "started", machine="n1")
    write_progress(folders[0], 0.5, 90.0, "training")
    note(folders[1], "started", machine="n2")
    note(folders[1], "ended", code=-9, reason="killed (SIGKILL)")
    (folders[1] / "log.txt").touch()
    return folders


def test_each_job_has_its_state_and_a_failed_one_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = _jobs(tmp_path)
    print_status([job_state(folder) for folder in folders], [tmp_path])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "job a running 50% 90 s 1 on n1, training" in lines
    assert "job b failed 1 killed (SIGKILL)" in lines
    assert "job c waiting 0" in lines
    assert f"job b: {folders[1] / 'log.txt'}" in lines
    assert "0 of 3 jobs done, 1 running, 1 waiting, 1 failed" in lines
    (folders[1] / "log.txt").unlink()  # as of a job that could not begin
    print_status([job_state(folder) for folder in folders], [tmp_path])
    assert "log.txt" not in capsys.readouterr().out


def test_only_what_has_changed_is_said(tmp_path: Path) -> None:
    folders, said = _jobs(tmp_path), list[str]()
    progress = Progress(said.append, every=0.0)
    progress.tell(folders)
    progress.tell(folders)
    note(folders[0], "ended", code=0)
    progress.tell(folders)
    assert said == ["0 of 3 jobs done, 1 running, 1 waiting, 1 failed", "1 of 3 jobs done, 1 waiting, 1 failed"]
    assert summary([]) == "0 of 0 jobs done"


def test_a_plan_adds_up_the_jobs_that_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    spec: Any = type("Spec", (), {"entry": type("Entry", (), {"name": "byol"}), "seed": 3, "budget": "steps=10"})
    priced = PlannedJob(spec, 3600.0, 7200.0, 4, "step cost 12, a100")
    unknown = PlannedJob(spec, None, 14_400.0, 4, "no step cost")
    print_plan([priced, priced, unknown], [True, False, True], ClusterSpec(gpus=4))
    printed = " ".join(capsys.readouterr().out.split())
    assert "byol, seed 3, steps=10 60.0 min 2.0 h 4 step cost 12, a100" in printed
    assert "2 of 3 jobs to submit, 1 x 4 processes each, 4 device-hours of training without 1" in printed
