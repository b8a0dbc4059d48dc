from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.cli import doctor
from benchmark.errors import UserError
from benchmark.machine.locks import FOLDER_VARIABLE, DeviceLock

if TYPE_CHECKING:
    from pathlib import Path


def test_it_says_what_will_be_used_and_what_is_missing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    monkeypatch.setattr(doctor, "sources", lambda device: [])
    found = list(doctor.examine("cpu", tmp_path / "not" / "there"))
    facts = dict(found)
    assert facts["runs use"].startswith("cpu (") and torch.__version__.split("+")[0] in facts["packages"]
    assert facts["in use by"] == "nobody" and facts["measured"] == "only time and memory"
    assert any(name == "missing:" and "energy counter" in value for name, value in found)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 1 << 20})())
    assert any("1 MiB are free" in value for name, value in doctor.examine("cpu", tmp_path) if name == "missing:")
    with pytest.raises(UserError, match="choices: auto, cpu"):
        list(doctor.examine("gpu", tmp_path))


def test_it_names_who_uses_the_device(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(DeviceLock, "_others", lambda self: [4711])
    assert "process 4711" in dict(doctor.examine("cpu", tmp_path))["in use by"]
