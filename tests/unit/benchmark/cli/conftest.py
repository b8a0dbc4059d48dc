"""The command line in this process, and a tiny experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.cli.main import main
from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.report import section_figures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TINY: dict[str, Any] = {
    "dataset": {"name": "shapes", "shapes_train": 200, "shapes_test": 60, "size": 32},
    "backbone": {"name": "resnet18", "stem": "small", "width": 8},
    "budget": {"steps": 2},
    "batch_size": 16,
    "entries": ["simclr", "random_init"],
}


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without their figures, which are most of what a report takes."""
    monkeypatch.setattr(section_figures, "drawn", lambda *_, **__: [])


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs `bench` with some arguments; returns the exit code and everything that was printed."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out + printed.err

    return run


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the tiny experiment, with some keys changed; locks of devices go to the test's folder."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))

    def write(**changes: Any) -> Path:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}))
        return path

    return write
