"""An environment that no launcher has set."""

from __future__ import annotations

import os

import pytest

from benchmark.machine.launch import LAUNCHERS


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes what a launcher around the tests may have set."""
    names = {name for launcher in LAUNCHERS for name in (*launcher.required, launcher.local_size)}
    for name in [*names, *(name for name in os.environ if name.startswith("SLURM_"))]:
        monkeypatch.delenv(name, raising=False)
