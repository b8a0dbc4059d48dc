"""Locks on devices between processes: a second one is refused or noted; a killed one holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmark.errors import UserError
from benchmark.machine.locks import FOLDER_VARIABLE, DeviceLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOLD_DEVICE = """
import sys
from benchmark.machine.locks import DeviceLock
with DeviceLock("cpu", share=%s) as lock:
    print("held", flush=True)
    sys.stdin.readline()
    print(lock.was_shared(), flush=True)
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts code in another process, and waits until it says that it holds what it wants."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    started: list[subprocess.Popen[str]] = []

    def begin(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def _end(process: subprocess.Popen[str]) -> str:
    return process.communicate("\n", timeout=60)[0].strip()


def test_a_device_in_use_is_refused_by_name_until_it_is_given_back(
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    other = start(HOLD_DEVICE % False)
    with pytest.raises(UserError, match=f"device cpu is in use by another bench .process {other.pid}."):
        DeviceLock("cpu").__enter__()
    with DeviceLock("cuda-1"):
        pass  # another device
    assert _end(other) == "False"
    with DeviceLock("cpu") as lock:
        assert not lock.was_shared()


def test_both_sides_know_that_they_shared(start: Callable[[str], subprocess.Popen[str]]) -> None:
    other = start(HOLD_DEVICE % False)
    with DeviceLock("cpu", share=True) as lock:
        assert lock.is_shared() and lock.was_shared()
    assert _end(other) == "True"  # although it is alone again by now
    with DeviceLock("cpu", share=True) as lock:
        assert not lock.is_shared() and not lock.was_shared()


def test_a_killed_process_holds_nothing(start: Callable[[str], subprocess.Popen[str]], tmp_path: Path) -> None:
    other = start(HOLD_DEVICE % False)
    other.kill()
    other.wait()
    assert list((tmp_path / "locks").glob("*.lock"))
    with DeviceLock("cpu") as lock:
        assert not lock.was_shared()
    assert not list((tmp_path / "locks").glob("*.lock"))


def test_several_share_and_each_is_told_of_its_own(
    start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = start(HOLD_DEVICE % False)
    second = start(HOLD_DEVICE % True)
    assert _end(second) == "True"
    with DeviceLock("cpu", share=True) as lock:
        assert lock.was_shared()
    # What was before is no concern of the next run.
    assert first.stdin is not None and first.poll() is None
    assert _end(first) == "True"
    with DeviceLock("cpu") as lock:
        assert not lock.was_shared() and not lock.was_shared()
    assert not list((tmp_path / "locks").iterdir())  # dead processes' notes are cleared away


def test_a_folder_that_cannot_hold_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(UserError, match=f"locks cannot be kept there .*; set {FOLDER_VARIABLE}"):
        DeviceLock("cpu").__enter__()
