"""The command line on experiments that take seconds."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from browser import Browser
from filelock import FileLock

from benchmark.cli import main as cli
from benchmark.cli import run as run_commands
from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.records.folder import find_records
from benchmark.report import section_figures
from benchmark.runs import experiment, measure
from benchmark.training import profile

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
    request: pytest.FixtureRequest
    tiny = TINY

    def config(self, **changes: Any) -> Path:
        """Writes the tiny experiment with some keys changed."""
        path = self.folder / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}))
        return path

    def __call__(self, *arguments: object) -> tuple[int, str]:
        """Exit code, and everything that was printed."""
        code = _exit_code(self.monkeypatch, *arguments)
        printed = self.capsys.readouterr()
        return code, printed.out + printed.err

    def finished(self, out: Path, *entries: str) -> Path:
        """Copies finished runs of the tiny experiment, seed 0, into a results folder; returns that of an only entry."""
        trained: Path = self.request.getfixturevalue("trained")
        for entry in entries:
            shutil.copytree(trained / "tiny" / entry, out / "tiny" / entry)
        shutil.copy(trained / "tiny" / "experiment.yaml", out / "tiny")
        return next((out / "tiny" / entries[0]).iterdir())

    def records(self, out: Path) -> dict[str, Record]:
        """Records below a folder by entry."""
        found, problems = find_records([out])
        assert not problems
        return {record.entry: record for _, record in found}

    def history(self, out: Path, entry: str) -> list[dict[str, Any]]:
        """The only run's history of an entry."""
        (path,) = out.glob(f"*/{entry}/seed-*/history.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]


def _exit_code(patch: pytest.MonkeyPatch, *arguments: object) -> int:
    patch.setattr("sys.argv", ["bench", *map(str, arguments)])
    patch.setenv("COLUMNS", "400")
    code: Any = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    return int(code)


def _make_quick(patch: pytest.MonkeyPatch, locks: Path, *, estimates: bool, reports: bool, figures: bool) -> None:
    """Takes from a tiny run what costs most and what most tests are not about."""
    # Whatever else runs on the machine, tests are not about its devices.
    patch.setenv(FOLDER_VARIABLE, str(locks))
    patch.setattr(profile, "FLOP_DRAWS", 2)  # masks over which FLOPs are averaged
    patch.setattr(measure, "BREAKDOWN_STEPS", 2)
    if not estimates:
        patch.setattr(experiment, "estimate", lambda *_, **__: [])
    if not reports:
        patch.setattr(run_commands, "write_pages", lambda *_, **__: None)
    if not figures:
        patch.setattr(section_figures, "drawn", lambda *_, **__: [])


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Results of the tiny experiment, all entries, trained once for all processes that test; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    out = (base if worker_id == "master" else base.parent) / "trained"
    with FileLock(out.with_name("trained.lock")):
        if not out.is_dir():
            half = out.with_name("half-trained")
            half.mkdir(exist_ok=True)
            (half / "tiny.yaml").write_text(yaml.safe_dump(TINY))
            with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
                _make_quick(patch, half / "locks", estimates=False, reports=False, figures=False)
                code = _exit_code(patch, "run", half / "tiny.yaml", "--out", half, "--quiet")
            assert code == 0, printed.getvalue()
            half.rename(out)
    return out


@pytest.fixture
def bench(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Bench:
    """The command line, and a folder for its configuration."""

    def marked(name: str) -> bool:
        return request.node.get_closest_marker(name) is not None

    _make_quick(
        monkeypatch,
        tmp_path / "locks",
        estimates=marked("estimates"),
        reports=marked("reports"),
        figures=marked("figures"),
    )
    return Bench(tmp_path, monkeypatch, capsys, request)


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless chromium; tests that need one are skipped where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        opened = Browser(program, Path(profile))
        try:
            yield opened
        finally:
            opened.close()
