"""A disk on which `flock` fails, as on some network disks: files there are read, and runs there are carried out.

The system's `flock` is replaced by one that answers an error for files below a folder, and does its work elsewhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from image_folders import converted, make_folder

from benchmark.machine.locks import FOLDER_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

_STUB = """
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int flock(int descriptor, int operation) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    if (strncmp(path, getenv("NO_LOCKS_BELOW"), strlen(getenv("NO_LOCKS_BELOW"))) == 0) {
        errno = atoi(getenv("NO_LOCKS_ERROR"));
        return -1;
    }
    return syscall(SYS_flock, descriptor, operation);
}
"""
_ERRORS = {"No locks available": 37, "Operation not supported": 95}  # Linux's ENOLCK and EOPNOTSUPP


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without locks for commands that are started in the test."""
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    (tmp_path / "stub.c").write_text(_STUB)
    library = tmp_path / "stub.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "stub.c"], check=True)
    (tmp_path / "disk").mkdir()
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("NO_LOCKS_BELOW", str(tmp_path / "disk"))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    return tmp_path / "disk"


def _bench(error: int, *arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *map(str, arguments)],
        env={**os.environ, "NO_LOCKS_ERROR": str(error)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "reason", ["No locks available", pytest.param("Operation not supported", marks=pytest.mark.thorough)]
)
def test_hdf5_files_are_read_without_a_lock_and_a_run_there_is_carried_out(disk: Path, reason: str) -> None:
    converted(make_folder(disk.parent / "images"), disk / "x.h5")
    code, printed = _bench(_ERRORS[reason], "data", "verify", disk / "x-train.h5")
    assert code == 0 and "30 of 30 images are sound" in printed, printed

    options = (
        "--methods",
        "random_init",
        "--set",
        "batch_size=8",
        "--set",
        "evaluation.images=null",
        "--device",
        "cpu",
    )
    arguments = ("run", "cpu", "--data", disk / "x.h5", *options, "--out", disk / "out")
    code, printed = _bench(_ERRORS[reason], *arguments)
    assert code == 0 and "linear" in printed, printed
    (record,) = (disk / "out").glob("cpu/random_init/*/record.json")
    assert not [path.name for path in record.parent.iterdir() if path.name.startswith(".claim")]
    (record.parent / ".claim-1").write_text('{"token": "theirs", "machine": "node7", "process": 1}')
    record.unlink()
    code, printed = _bench(_ERRORS[reason], *arguments)
    assert "is already running in another process" in printed, printed
