"""Claims that hold between machines, without `flock`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from benchmark.errors import UserError
from benchmark.records import heartbeat
from benchmark.records.heartbeat import GRACE, claim, holder, this_machine

if TYPE_CHECKING:
    from pathlib import Path

_RACE = """
import sys, time
from pathlib import Path
from benchmark.records import heartbeat
heartbeat.this_machine = lambda: sys.argv[2]
time.sleep(max(0.0, float(sys.argv[3]) - time.time()))
mine = heartbeat.claim(Path(sys.argv[1]), locked=False)
print(mine is not None, flush=True)
sys.stdin.read()
"""


def _elsewhere(folder: Path, *, age: float, number: int = 1) -> Path:
    """The claim of a process on another machine that was touched so many seconds ago."""
    path = folder / f".claim-{number}"
    path.write_text(json.dumps({"token": "theirs", "machine": "node7 boot pid", "process": 1}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_claim_holds_against_another_machine_while_it_gives_signs_of_life(tmp_path: Path) -> None:
    _elsewhere(tmp_path, age=GRACE / 2)
    assert claim(tmp_path, locked=True) is None
    assert holder(tmp_path) == "node7"


def test_the_claim_of_a_dead_process_is_taken_over_and_it_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(heartbeat, "this_machine", lambda: "node7 boot pid")
        theirs = claim(tmp_path, locked=False)
    assert theirs is not None and theirs.is_held()
    os.utime(theirs.path, (time.time() - 2 * GRACE,) * 2)
    ours = claim(tmp_path, locked=False)
    assert ours is not None and ours.path.name == ".claim-2"
    with pytest.raises(UserError, match="was taken over by another process, because this one gave no sign of life"):
        theirs.check()
    theirs.release()  # which does not touch ours
    assert ours.is_held() and [path.name for path in tmp_path.iterdir()] == [".claim-2"]
    ours.check()
    ours.release()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_somebody_has_removed_is_not_called_taken_over(tmp_path: Path) -> None:
    ours = claim(tmp_path, locked=True)
    assert ours is not None
    ours.path.unlink()
    with pytest.raises(UserError, match="was removed or emptied while this process was at work there; it writes nothi"):
        ours.check()
    ours.release()


def test_here_a_dead_process_is_known_at_once(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    path = _elsewhere(tmp_path, age=0.0)
    path.write_text(json.dumps({"token": "theirs", "machine": this_machine(), "process": process.pid}))
    assert holder(tmp_path) is None
    ours = claim(tmp_path, locked=False)
    assert ours is not None
    ours.release()


def test_a_claim_that_came_back_between_look_and_claim_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _elsewhere(tmp_path, age=2 * GRACE)

    def come_back(path: Path, *arguments: int) -> int:
        (tmp_path / ".claim-1").write_text(json.dumps({"token": "another", "machine": "node8", "process": 1}))
        return real(path, *arguments)

    real = os.open
    monkeypatch.setattr(os, "open", come_back)
    assert claim(tmp_path, locked=False) is None
    assert [path.name for path in tmp_path.iterdir()] == [".claim-1"]


def test_signs_of_life_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.02)
    ours = claim(tmp_path, locked=False)
    assert ours is not None
    os.utime(ours.path, (0.0, 0.0))
    end = time.monotonic() + 10
    while ours.path.stat().st_mtime == 0.0 and time.monotonic() < end:
        time.sleep(0.01)
    assert ours.path.stat().st_mtime > 0.0
    ours.release()


@pytest.mark.slow
def test_of_many_machines_at_once_only_one_takes_over(tmp_path: Path) -> None:
    _elsewhere(tmp_path, age=2 * GRACE, number=3)
    begin = time.time() + 3
    commands = [[sys.executable, "-c", _RACE, str(tmp_path), f"node{number}", str(begin)] for number in range(6)]
    others = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for command in commands
    ]
    answers = []
    for other in others:
        assert other.stdout is not None
        answers.append(other.stdout.readline().strip())
    for other in others:
        other.communicate()
    assert sorted(answers) == ["False"] * 5 + ["True"]
