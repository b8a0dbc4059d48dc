"""What a record says about machine and software, and what it must not say."""

from __future__ import annotations

import getpass
import platform
import re
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import torch

from benchmark.machine import code, environment
from benchmark.machine.environment import describe, hardware, now, visible_cores


def test_the_environment_of_a_run() -> None:
    described = describe(torch.device("cpu"), 2, plugged="pytest")
    assert (described.device, described.devices, described.driver) == ("cpu", 2, None)
    assert described.device_model == described.cpu_model
    assert torch.__version__.startswith(described.packages["torch"])
    assert described.packages["pytest"] == pytest.__version__
    assert "no-such-package" not in describe(torch.device("cpu"), 1, plugged="no-such-package").packages
    assert 1 <= visible_cores() <= described.memory_bytes


def test_the_hardware_of_step_costs_is_that_of_the_environment() -> None:
    device = torch.device("cpu")
    here, described = hardware(device, 2, "bf16"), describe(device, 2).model_dump()
    shared = here.model_dump(exclude={"precision", "torch"})
    assert shared == {name: described[name] for name in shared}
    assert (here.precision, len(here.torch.split("."))) == ("bf16", 2)
    assert torch.__version__.startswith(f"{here.torch}.")
    assert here.key == hardware(device, 2, "bf16").key != hardware(device, 2, "32").key


def test_it_names_no_host_user_or_path() -> None:
    text = describe(torch.device("cpu"), 1).model_dump_json()
    assert platform.node() not in text
    assert str(Path.home()) not in text and f'"{getpass.getuser()}"' not in text


def test_a_machine_without_git_or_driver_is_described_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", absent)
    code.commit_here.cache_clear()
    described = describe(torch.device("cpu"), 1)
    code.commit_here.cache_clear()
    assert (described.commit, described.dirty) == (None, None)
    assert environment._driver() is None


def test_the_time_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now())
    assert abs(datetime.fromisoformat(now()) - datetime.now(timezone.utc)) < timedelta(seconds=5)
