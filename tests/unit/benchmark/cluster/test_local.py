"""Jobs as processes of this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmark.cluster import local
from benchmark.cluster.local import Local
from benchmark.errors import UserError
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.machine.interrupt import StopSignal
from benchmark.records.jobs import JobRecord

if TYPE_CHECKING:
    from pathlib import Path

_ONCE = """
import pathlib, sys, time
path = pathlib.Path(sys.argv[1]) / "count"
count = path.read_text() if path.exists() else ""
path.write_text(count + "x")
sys.exit(int(sys.argv[2]) if not count else 0)
"""


def _posted(folder: Path, count: int) -> list[tuple[Path, JobRecord]]:
    posted = []
    for number in range(count):
        (folder / str(number)).mkdir()
        posted.append((folder / str(number), JobRecord(kind="cost", name="a", arguments=[])))
    return posted


def test_jobs_run_and_one_that_saved_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {"0": "0", "1": "130", "2": "1"}
    monkeypatch.setattr(
        local, "_command", lambda folder: [sys.executable, "-c", _ONCE, str(folder), codes[folder.name]]
    )
    told: list[int] = []
    Local().start(_posted(tmp_path, 3), ClusterSpec(parallel=2), StopSignal(str), lambda: told.append(1))
    assert [(tmp_path / name / "count").read_text() for name in "012"] == ["x", "xx", "x"]
    assert told


def test_an_interruption_ends_those_that_run_and_starts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import pathlib, sys, time; pathlib.Path(sys.argv[1], 'up').touch(); time.sleep(60)"
    monkeypatch.setattr(local, "_command", lambda folder: [sys.executable, "-c", program, str(folder)])
    stop_signal = StopSignal(str)

    def tell() -> None:
        if (tmp_path / "0" / "up").exists():
            stop_signal._received = True

    Local().start(_posted(tmp_path, 2), ClusterSpec(parallel=1), stop_signal, tell)
    assert not (tmp_path / "1" / "up").exists()


def test_several_machines_are_refused() -> None:
    with pytest.raises(UserError, match=r"cluster\.nodes is 2, but --on local has this machine alone"):
        Local().check(ClusterSpec(nodes=2))
