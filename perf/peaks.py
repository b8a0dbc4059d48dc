"""Peak memory of large and of hostile input: a folder of 100,000 images, 2,000 training steps, and refusals.

Usage: python perf/peaks.py [--files N] [--steps N]

Each command runs in a process of its own, whose peak the system tells (Linux: VmHWM, the most that was resident). The
folder's files are links to 50 JPEGs of `shapes`, in ten classes; the steps are of SimCLR on a small ResNet, as `bench
run` takes them. Claims: a further file adds at most a kilobyte, for its name and checksum; from a tenth of the steps to
all of them the peak grows by at most 32 MiB; refusing an input takes at most 100 MiB more than refusing a wrong word.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import yaml
from claims import about, claim, skip
from images import shapes_folder

# Not `ru_maxrss`, which a process takes over from the one that starts it.
_MEASURE = """
import re, sys
from pathlib import Path
from benchmark.cli.main import main
try:
    main()
except SystemExit as stop:
    code = stop.code or 0
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(f"PEAK {peak} {code}", file=sys.stderr)
"""


class Measured(NamedTuple):
    """Peak memory in MiB, seconds, exit code and what was printed."""

    peak: float
    seconds: float
    code: int
    printed: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=2_000)
    options = parser.parse_args()
    if not Path("/proc/self/status").exists():
        skip("this system has no /proc, which tells a process's peak")
    about("one process for each command, one thread; peaks are the most that was resident")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        _folders(scratch, options.files)
        _steps(scratch, options.steps)
        _refusals(scratch)


def _bench(*words: object) -> Measured:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    start = time.monotonic()
    command = [sys.executable, "-c", _MEASURE, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    *_, line = done.stderr.splitlines() or [""]
    if not line.startswith("PEAK "):
        raise SystemExit(f"{words}\n{done.stdout}{done.stderr}")
    kib, code = map(int, line.split()[1:])
    return Measured(kib / 1024, time.monotonic() - start, code, done.stdout + done.stderr)


def _folders(scratch: Path, most: int) -> None:
    made = shapes_folder(scratch / "made", 40, 10, quality=90)
    images = sorted(made.rglob("*.jpg"))
    peaks = {}
    for count in (most // 10, most):
        root = scratch / f"files-{count}"
        for number in range(count):
            split = "test" if number % 10 == 0 else "train"
            place = root / split / f"class{number // 10 % 10}"
            if number < 200:
                place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.jpg").hardlink_to(images[number % len(images)])
        peaks[count] = _bench("data", "verify", root)
    small, large = peaks[most // 10], peaks[most]
    claim(f"peak memory of examining a folder of {most:,} files", large.peak, "MiB")
    claim(
        f"of it, what {most - most // 10:,} of the files add",
        large.peak - small.peak,
        "MiB",
        at_most=0.9 * most * 1000 / 2**20,
        detail=f"{small.peak:.0f} MiB for a tenth of them",
    )


def _steps(scratch: Path, most: int) -> None:
    experiment = {
        "name": "steps",
        "dataset": {"name": "shapes", "shapes_train": 200, "shapes_test": 60},
        "backbone": {"name": "resnet18", "stem": "small", "width": 8},
        "budget": {"steps": most},
        "batch_size": 16,
        "precision": 32,
        "evaluation": {"points": 1},
        "entries": [{"method": "simclr", "overrides": {"projector_hidden": 32, "output_dim": 16}}],
    }
    path = scratch / "steps.yaml"
    path.write_text(yaml.safe_dump(experiment))
    peaks = [
        _bench("run", path, "--out", scratch / str(steps), "--budget", f"steps={steps}", "--share", "--quiet")
        for steps in (most // 10, most)
    ]
    claim(f"peak memory of {most:,} steps", peaks[1].peak, "MiB")
    claim(
        f"growth from {most // 10:,} to {most:,} steps",
        peaks[1].peak - peaks[0].peak,
        "MiB",
        at_most=32,
        detail=f"{peaks[0].peak:.0f} and {peaks[1].peak:.0f} MiB",
    )


def _refusals(scratch: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for one, other in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{other}: &{other} [{', '.join([f'*{one}'] * 10)}]\n"
    (scratch / "bomb.yaml").write_text(bomb)
    (scratch / "nested.yaml").write_text("a: " + "[" * 500_000)
    record = scratch / "records" / "record.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"schema_version": 1})[:-1] + ', "a": ' + "[" * 500_000 + "]" * 500_000 + "}")
    with h5py.File(scratch / "declared.h5", "w") as file:
        file.attrs.update(format="cnn-jepa-bench images", format_version=1)
        file.create_dataset("lengths", (3 * 10**10,), dtype=np.uint32, chunks=True)
    with h5py.File(scratch / "small.h5", "w") as file:
        file["other"] = 1
    light = _bench("run", "no-such-experiment")
    heavy = _bench("data", "inspect", scratch / "small.h5")  # which imports torch
    cases = {
        "a YAML file that unfolds to 10^9 values": (light, ("run", scratch / "bomb.yaml")),
        "a YAML file of 500,000 nested lists": (light, ("run", scratch / "nested.yaml")),
        "a record of 500,000 nested lists": (light, ("leaderboard", scratch / "records")),
        "10^12 images of shapes": (light, ("run", "quickstart", "--set", "dataset.shapes_train=1000000000000")),
        "an HDF5 file that declares 120 GB": (heavy, ("data", "inspect", scratch / "declared.h5")),
    }
    for name, (plain, words) in cases.items():
        refused = _bench(*words)
        added = refused.peak - plain.peak
        detail = f"{refused.seconds:.1f} s in all, {plain.seconds:.1f} s for a wrong word"
        claim(f"memory that refusing {name} adds", added, "MiB", at_most=100, holds=None, detail=detail)
        if refused.code != 2:
            raise SystemExit(f"{name} was not refused:\n{refused.printed}")


if __name__ == "__main__":
    main()
