"""Conversions that end early: a full disk, SIGKILL in the middle, and SIGKILL between renaming the two files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from benchmark.data.hdf5.format import open_container

if TYPE_CHECKING:
    from pathlib import Path

_MAIN = "from benchmark.cli.main import main; main()"
# A limit on file size makes writing fail as it does on a full disk.
_LIMITED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
"""
_KILL = "os.kill(os.getpid(), signal.SIGKILL)"
_KILLED_IN_THE_MIDDLE = f"""
import os, signal
from benchmark.data.hdf5 import convert
decode, left = convert.decode, iter(range(30))
def decode_some(*arguments):
    if next(left, None) is None:
        {_KILL}
    return decode(*arguments)
convert.decode = decode_some
"""
_KILLED_BETWEEN_NAMES = f"""
import os, signal
from pathlib import Path
replace = Path.replace
def replace_once(self, target):
    replace(self, target)
    {_KILL}
Path.replace = replace_once
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """80 train and 10 test images of noise, 300 kB and 40 kB."""
    draw = np.random.default_rng(0)
    for split, number in (("train", 40), ("test", 5)):
        for name in ("ant", "bee"):
            place = tmp_path / "images" / split / name
            place.mkdir(parents=True)
            for index in range(number):
                pixels = draw.integers(0, 256, (36, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png")
    return tmp_path / "images"


def _convert(folder: Path, before: str) -> tuple[int, str]:
    """Exit code and output of `bench data convert` in a process that first runs the code `before`."""
    arguments = ["data", "convert", str(folder), str(folder.parent / "x.h5")]
    command = [sys.executable, "-c", before + _MAIN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=dict(os.environ), check=False)
    return done.returncode, done.stdout + done.stderr


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir())


# Writing fails in the images, or in the tables at the end of the file.
@pytest.mark.slow
@pytest.mark.parametrize("limit", [100_000, 325_000])
def test_a_full_disk_is_one_message_and_leaves_nothing(folder: Path, limit: int) -> None:
    code, printed = _convert(folder, _LIMITED.format(limit=limit))
    assert code == 2, printed
    found, line = printed.splitlines()
    assert found.endswith("images: class folders in train/ and test/")
    assert line.endswith("x-train.h5: cannot be written (File too large); nothing was kept"), printed
    assert _names(folder) == ["images"]


@pytest.mark.slow
def test_a_killed_conversion_leaves_nothing_that_looks_finished(bench: Any, folder: Path, tmp_path: Path) -> None:
    code, printed = _convert(folder, _KILLED_IN_THE_MIDDLE)
    assert code == -signal.SIGKILL, printed
    (left,) = tmp_path.glob(".x-*")
    assert left.name.startswith(".x-train.h5.") and not list(tmp_path.glob("x-*"))
    code, printed = bench("data", "convert", folder, tmp_path / "x.h5")
    assert code == 0 and "removed what an interrupted conversion left; starting again" in printed, printed
    assert _names(folder) == ["images", "x-test.h5", "x-train.h5"]
    assert len(open_container(tmp_path / "x-train.h5")) == 80


@pytest.mark.slow
def test_a_conversion_that_finished_one_of_two_files_is_recognised(bench: Any, folder: Path, tmp_path: Path) -> None:
    code, printed = _convert(folder, _KILLED_BETWEEN_NAMES)
    assert code == -signal.SIGKILL, printed
    assert [path.name for path in tmp_path.glob("x-*")] == ["x-train.h5"]
    code, printed = bench("data", "convert", folder, tmp_path / "x.h5")
    assert code == 2 and "exists already" not in printed
    assert "x-train.h5: exists without x-test.h5" in printed and "remove it and convert again" in printed, printed
    (tmp_path / "x-train.h5").unlink()
    code, printed = bench("data", "convert", folder, tmp_path / "x.h5")
    assert code == 0 and "removed what an interrupted conversion left" in printed, printed
    assert _names(folder) == ["images", "x-test.h5", "x-train.h5"]
