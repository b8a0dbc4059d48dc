"""Progress: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from benchmark.cli.console import ConsoleReporter
from benchmark.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Task


def _reporter(*, terminal: bool, quiet: bool = False) -> tuple[ConsoleReporter, io.StringIO]:
    file = io.StringIO()
    return ConsoleReporter(quiet, Console(file=file, force_terminal=terminal, width=120)), file


def _task(reporter: ConsoleReporter) -> Task:
    assert reporter._bar is not None
    return reporter._bar.tasks[0]


def test_a_terminal_gets_a_bar_that_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter, file = _reporter(terminal=True)
    now = [10.0]
    monkeypatch.setattr("benchmark.cli.console.time.monotonic", lambda: now[0])
    count = reporter.counting("checking images")
    count(1000, 5000)
    now[0] += 6.0
    count(2000, 5000)
    task = _task(reporter)
    assert task.description == "checking images"
    assert task.completed == pytest.approx(0.4) and task.fields["state"] == "2,000 of 5,000, 18 s left"
    reporter.data_progress(512, 5000)  # other work begins a bar of its own
    assert _task(reporter).description == "reading images" and _task(reporter).fields["state"] == "512 of 5,000"
    reporter.data_progress(5000, 5000)
    assert reporter._bar is None
    assert "checking images" in file.getvalue()


def test_the_bar_goes_when_the_work_fails() -> None:
    reporter, file = _reporter(terminal=True)
    with pytest.raises(UserError), reporter:
        reporter.data_progress(1, 2)
        raise UserError("bad")
    assert reporter._bar is None
    assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l") >= 0  # the cursor is back


def test_elsewhere_slow_work_prints_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr("benchmark.cli.console.time.monotonic", lambda: now[0])
    reporter, file = _reporter(terminal=False)
    count = reporter.counting("converting images")
    count(512, 2000)
    count(2000, 2000)
    assert file.getvalue() == ""
    now[0] += 3.0
    count(512, 2000)
    count(1024, 2000)
    count(2000, 2000)
    assert file.getvalue().splitlines() == [
        "converting images: 512 of 2,000",
        "converting images: 2,000 of 2,000",
    ]
    reporter, file = _reporter(terminal=True, quiet=True)
    reporter.data_progress(1, 2)
    assert file.getvalue() == ""


def test_a_run_in_lines(make_record: Any) -> None:
    reporter, file = _reporter(terminal=False)
    spec: Any = SimpleNamespace(
        entry=SimpleNamespace(name="byol"), seed=1, budget="steps=4", method=SimpleNamespace(trainable=True)
    )
    reporter.run_started(spec, 1, 2, None)
    reporter.run_advanced(0.5, 0.25, 100.0, 60.0, None)  # too soon after the last line
    reporter.run_ended(make_record("byol", 1, top1=45.0))
    reporter.run_started(spec, 2, 2, 0.5)
    reporter.run_ended(make_record("byol", 1, status="failed", message="out of memory", measured=False))
    label = "] byol, seed 1, steps=4: "
    assert [line.partition(label)[2] for line in file.getvalue().splitlines()] == [
        "starting",
        "linear 45.0%, kNN-20 41.0%, 100 s training, 116 s in all",
        "resuming from 50%",
        "failed (out of memory)",
    ]


def test_quiet_shows_failures_and_no_table(make_record: Any) -> None:
    reporter, file = _reporter(terminal=False, quiet=True)
    reporter.table([make_record()])
    reporter.run_ended(make_record())
    assert file.getvalue() == ""
    reporter.run_ended(make_record(status="failed", message="out of memory", measured=False))
    assert "failed (out of memory)" in file.getvalue()


def test_probes_have_a_bar_of_their_own_and_the_rest_of_the_run_counts_them() -> None:
    reporter, _ = _reporter(terminal=True)
    spec: Any = SimpleNamespace(
        entry=SimpleNamespace(name="byol"), seed=1, budget="steps=4", method=SimpleNamespace(trainable=True)
    )
    reporter.run_started(spec, 1, 2, None)
    reporter.run_advanced(0.5, 0.25, 100.0, 60.0, None)
    assert _task(reporter).fields["state"] == "loss 0.2500, 100 images/s, 60 s of training left"
    reporter.probing("probe 2 of 4", 0.25, "features, 50 of 200 images", 6.0)
    assert _task(reporter).description == "[1/2] byol, seed 1, steps=4: probe 2 of 4"
    assert (_task(reporter).completed, _task(reporter).fields["state"]) == (
        0.25,
        "features, 50 of 200 images, 6.0 s left",
    )
    reporter.run_advanced(0.5, 0.25, 100.0, 60.0, 30.0)
    assert _task(reporter).description == "[1/2] byol, seed 1, steps=4"
    assert _task(reporter).fields["state"] == "loss 0.2500, 100 images/s, 90 s left"
    reporter.stop()
