"""Runs the command line on experiments that take seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmark.cli import main as cli
from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.records.folder import find_records
from benchmark.report import sections
from benchmark.runs import measure as run_measure
from benchmark.training import profile as measure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.records.schema import Record

TINY: dict[str, Any] = {
    "name": "tiny",
    "dataset": {"name": "shapes", "shapes_train": 200, "shapes_test": 60},
    "backbone": {"name": "resnet18", "stem": "small", "width": 8},
    "budget": {"steps": 10},
    "batch_size": 16,
    "precision": "auto",
    "evaluation": {"points": 2},
    "entries": [
        {"method": "cnn_jepa"},
        {"method": "byol", "overrides": {"projector_hidden": 32, "predictor_hidden": 32, "output_dim": 16}},
        {"method": "simclr", "overrides": {"projector_hidden": 32, "output_dim": 16}},
        {"method": "vicreg", "overrides": {"projector_hidden": 32, "output_dim": 32}},
        {
            "method": "ijepa",
            "backbone": {"name": "vit_tiny", "patch_size": 4, "width": 32, "depth": 1},
            "overrides": {"predictor_width": 32, "predictor_heads": 1, "predictor_depth": 1},
        },
        {"method": "supervised"},
        {"method": "random_init"},
    ],
}


@dataclass
class Bench:
    """The command line, in this process."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def config(self, **changes: Any) -> Path:
        """Writes the tiny experiment with some keys changed."""
        path = self.folder / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}))
        return path

    def __call__(self, *arguments: object) -> tuple[int, str]:
        """Exit code, and everything that was printed."""
        self.monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
        self.monkeypatch.setenv("COLUMNS", "400")
        code: Any = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        printed = self.capsys.readouterr()
        return int(code), printed.out + printed.err

    def records(self, out: Path) -> dict[str, Record]:
        """Records below a folder by entry."""
        found, problems = find_records([out])
        assert not problems
        return {record.entry: record for _, record in found}

    def history(self, out: Path, entry: str) -> list[dict[str, Any]]:
        """The only run's history of an entry."""
        (path,) = out.glob(f"*/{entry}/seed-*/history.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def bench(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Bench:
    """The command line, and a folder for its configuration."""
    # Whatever else runs on the machine, tests are not about its devices.
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    # Figures, the masks over which FLOPs are averaged and the steps behind a run, divided into their parts, are most of
    # what a tiny run takes.
    monkeypatch.setattr(measure, "FLOP_DRAWS", 2)
    monkeypatch.setattr(run_measure, "breakdown", partial(measure.breakdown, steps=2))
    if request.node.get_closest_marker("figures") is None:
        monkeypatch.setattr(sections, "_drawn", lambda *_, **__: [])
    return Bench(tmp_path, monkeypatch, capsys)


_SERVER = Path("/usr/lib/postgresql")


@pytest.fixture
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database of its own, on a server that is started for the test (Debian's `postgresql`)."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    programs = max(_SERVER.glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
    if programs is None or not (programs / "initdb").is_file():
        pytest.skip(f"no PostgreSQL server below {_SERVER}: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-"))  # short: a socket's path may have 107 characters
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        if shutil.which("runuser") is None:
            pytest.skip("the server does not run as root, and there is no runuser to become somebody else")
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    control = [*as_user, str(programs / "pg_ctl"), "-D", str(folder / "data"), "-w"]
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    quiet = {"check": True, "capture_output": True, "timeout": 60, "cwd": folder}
    try:
        subprocess.run([*as_user, str(programs / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "bench"],
                       **quiet)  # fmt: skip
        subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], **quiet)
        yield f"postgresql+psycopg://bench@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
