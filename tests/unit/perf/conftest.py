"""The package `perf/stages`, which is none of the installed ones."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PERF = Path(__file__).parents[3] / "perf"
# What a stage does; each notes that it ran.
FAKES = {
    "good": "context.results.add('a', 1.0, 'ms'); context.results.add('b', 2.0, 'ms')",
    "raises": "context.results.add('a', 1.0, 'ms'); raise ValueError('no such kernel\\nmore')",
    "exits": "context.results.add('a', 1.0, 'ms'); import os; os._exit(3)",
    "killed": "context.results.add('a', 1.0, 'ms'); import os; os.kill(os.getpid(), 9)",
    "hangs": "context.results.add('a', 1.0, 'ms'); import time; time.sleep(600)",
    "half": "context.results.add('a' if not context.results.has('a') else 'b', 1.0, 'ms'); "
    "return None if context.results.has('b') else 'b is missing'",
    "broken": "import no_such_package",
}


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The package `perf/stages`, and modules of `FAKES` beside it."""
    monkeypatch.syspath_prepend(str(PERF))
    for name, body in FAKES.items():
        noted = f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')"
        (tmp_path / f"fake_{name}.py").write_text(f"def run(context):\n    {noted}\n    {body}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield importlib.import_module("stages.carry")
    for name in [name for name in sys.modules if name.split(".")[0] in ("stages", "gpu")]:
        sys.modules.pop(name)
