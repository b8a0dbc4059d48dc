"""The notebooks run from their first cell to their last."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.report import section_figures
from benchmark.runs import experiment as experiment_module
from benchmark.runs import measure
from benchmark.training import profile

if TYPE_CHECKING:
    from types import ModuleType

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_notebooks", DOCS / "run_notebooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "entries"),
    [("your-own-images", {"simclr", "random_init"}), ("your-own-method", {"my_method", "random_init"})],
)
def test_a_notebook_runs_to_its_leaderboard(
    runner: ModuleType, name: str, entries: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    # What costs most, and what notebooks are not about.
    monkeypatch.setattr(profile, "FLOP_DRAWS", 2)
    monkeypatch.setattr(measure, "BREAKDOWN_STEPS", 2)
    monkeypatch.setattr(experiment_module, "estimate", lambda *_, **__: [])
    monkeypatch.setattr(section_figures, "drawn", lambda *_, **__: [])
    printed = runner.run(DOCS / "notebooks" / f"{name}.ipynb", tmp_path)
    (board,) = (text for text in printed if text.startswith("| Dataset"))
    rows = [line.split("|")[3].strip() for line in board.splitlines()[2:]]
    assert set(rows) == entries
    assert (tmp_path / "results").is_dir()
