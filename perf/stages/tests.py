"""The tests that need a GPU: `pytest -m cuda` on the files that have some; a dry run takes others."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from stages.record_tests import PASSED, VARIABLE
from stages.results import Results

if TYPE_CHECKING:
    from stages.plan import Context

ROOT = Path(__file__).parents[2]
_MARK = "pytest.mark.cuda"
_TINY = "tests/unit/test_mirror.py"  # imports nothing, torch least of all


def files() -> list[Path]:
    """The test files that have tests for a GPU."""
    found = (ROOT / "tests").rglob("test_*.py")
    return sorted(path for path in found if _MARK in path.read_text(encoding="utf-8"))


def run(context: Context) -> str | None:
    """Runs the tests that have not passed; every outcome is written at once.

    Raises:
        RuntimeError: tests failed, or none was found; says which.
    """
    chosen, paths = (["-m", "not cuda"], [ROOT / _TINY]) if context.tiny else (["-m", "cuda"], files())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "stages.record_tests", "-p", "no:cacheprovider", *chosen]
    environment = {**os.environ, VARIABLE: str(context.results.path)}
    process = subprocess.Popen([*command, *map(str, paths)], cwd=ROOT, env=environment)
    try:
        code = process.wait(timeout=max(1.0, context.left))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.kill()
        code = None
    written = Results(context.results.path, "tests", context.results.data["identity"])
    context.results.data = written.data  # its process added the rows
    outcomes = Counter(row["detail"] for row in written.rows)
    text = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    if code is None:
        return f"time was up: {text}"
    failed = [row["name"] for row in written.rows if row["detail"] == "failed"]
    # 5: none is left, because all have passed before. Others than 0 and 1: a file could not be imported.
    if failed or code not in (0, 5) or not outcomes[PASSED]:
        raise RuntimeError(
            f"{text or 'no test was found'}; {', '.join(failed[:5]) or f'pytest ended with code {code}'}"
        )
    return None
