"""A plug-in of pytest: writes each test's outcome at once, and leaves out what passed in an earlier stay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stages.results import Results, read

if TYPE_CHECKING:
    import pytest

VARIABLE = "GPU_TESTS"
"""Names the file of results."""
PASSED = "passed"


def _results() -> Results:
    path = Path(os.environ[VARIABLE])
    data = read(path)
    assert data is not None, path
    return Results(path, data["stage"], data["identity"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what has passed."""
    passed = {row["name"] for row in _results().rows if row["detail"] == PASSED}
    left_out = [item for item in items if _name(item.nodeid) in passed]
    items[:] = [item for item in items if _name(item.nodeid) not in passed]
    config.hook.pytest_deselected(items=left_out)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Writes the outcome of a test: that of its call, or of its set-up where it had no call."""
    if report.when == "call" or (report.when == "setup" and report.outcome != PASSED):
        _results().add(_name(report.nodeid), round(report.duration, 2), "s", report.outcome)


def _name(node: str) -> str:
    """A test's name without its folders."""
    path, _, test = node.partition("::")
    return f"{Path(path).stem}::{test}"
