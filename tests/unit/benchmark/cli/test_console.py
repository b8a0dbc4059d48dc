"""What is shown while images are read: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from benchmark.cli import tables
from benchmark.cli.console import ConsoleReporter
from benchmark.errors import UserError


def _reporter(*, terminal: bool, quiet: bool = False) -> tuple[ConsoleReporter, io.StringIO]:
    file = io.StringIO()
    return ConsoleReporter(quiet, Console(file=file, force_terminal=terminal, width=120)), file


def test_a_terminal_gets_a_bar_that_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter, file = _reporter(terminal=True)
    now = [10.0]
    monkeypatch.setattr("benchmark.cli.console.time.monotonic", lambda: now[0])
    count = reporter.counting("checking images")
    count(1000, 5000)
    now[0] += 6.0
    count(2000, 5000)
    bar: Any = reporter._bar
    assert bar.label == "checking images"
    task = bar._live.tasks[0]
    assert task.completed == pytest.approx(0.4) and task.fields["state"] == "2,000 of 5,000, 18 s left"
    reporter.data_progress(512, 5000)  # other work begins a bar of its own
    assert bar.label == "reading images" and bar._live.tasks[0].fields["state"] == "512 of 5,000"
    reporter.data_progress(5000, 5000)
    assert bar.label is None and bar._live is None
    assert "checking images" in file.getvalue()


def test_the_bar_goes_when_the_work_fails() -> None:
    reporter, file = _reporter(terminal=True)
    with pytest.raises(UserError), reporter:
        reporter.data_progress(1, 2)
        raise UserError("bad")
    assert reporter._bar.label is None
    assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l") >= 0  # the cursor is back


def test_elsewhere_slow_work_is_worth_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_budget_of_time_is_said_in_words(make_record: Any) -> None:
    assert tables.record_cells(make_record(budget={"wall_clock": 150.0}), top5=True)[1] == "150 s of training"


def test_the_table_has_what_speaks_against_a_run_and_no_top_5_of_five_classes(make_record: Any) -> None:
    reporter, file = _reporter(terminal=False)
    record = make_record(flags=["shared device"])
    reporter.table([record])
    assert "top-5" in file.getvalue() and "completed, shared device" in file.getvalue()
    reporter, file = _reporter(terminal=False)
    few = record.model_copy(update={"dataset": record.dataset.model_copy(update={"classes": 5})})
    reporter.table([few])
    assert "top-5" not in file.getvalue() and "kNN-200" in file.getvalue()
