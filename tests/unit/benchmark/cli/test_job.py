"""What a job's command reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.cli.console import ConsoleReporter
from benchmark.cli.job import JobReporter, reporter_of
from benchmark.records.jobs import JobRecord, job_state, note, write_job

if TYPE_CHECKING:
    from pathlib import Path


def test_how_far_a_run_has_come_is_seen_from_outside(tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "a"
    write_job(job, JobRecord(kind="run", name="a", arguments=[]))
    note(job, "started", machine="n1")
    reporter = reporter_of(job, quiet=False)
    spec: Any = type("Spec", (), {"entry": type("Entry", (), {"name": "a"}), "seed": 0, "budget": "epochs=1",
                                  "method": type("Method", (), {"trainable": True})})  # fmt: skip
    reporter.run_started(spec, 1, 1, 0.25)
    assert (job_state(job).progress, job_state(job).left) == (0.25, None)
    reporter.run_advanced(0.5, 1.0, 10.0, 60.0, 5.0)  # too soon after the last report
    assert job_state(job).progress == 0.25
    reporter._written = 0.0  # type: ignore[attr-defined]
    reporter.run_advanced(0.5, 1.0, 10.0, 60.0, 5.0)
    state = job_state(job)
    assert (state.progress, state.left, state.reason) == (0.5, 65.0, "training")


def test_a_command_that_is_no_job_reports_as_before(tmp_path: Path) -> None:
    assert type(reporter_of(None, quiet=False)) is ConsoleReporter
    assert type(reporter_of(tmp_path, quiet=True)) is ConsoleReporter  # another process of the job writes
    assert isinstance(reporter_of(tmp_path, quiet=False), JobReporter)
