"""How fast `bench` answers when there is nothing to compute: wrong input, lists, help and version.

Usage: python perf/answers.py [--rounds N] [--seconds LIMIT]

Each command is a process of its own. Commands take turns; the first round fills the file cache and is not counted, and
the median of the others is reported. Claim: at most 1.5 s for names, files and keys, for lists and for the version, and
at most 0.5 s for the help. A wrong setting inside a recipe imports its method and torch; so does an image size that
does not fit. Both are reported without a claim.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from claims import about, claim

ANSWERS = {
    "help": ("--help", 0),
    "version": ("--version", 0),
    **{f"list of {name}": (f"list {name}", 0) for name in ("methods", "datasets", "backbones", "protocols", "formats")},
    "list of experiments": ("list experiments", 0),
    "list of sweeps": ("list sweeps", 0),
    "wrong command": ("rnu quickstart", 2),
    "wrong experiment": ("run quikstart", 2),
    "wrong file": ("run none.yaml", 2),
    "wrong key": ("run quickstart --set batchsize=3", 2),
    "wrong method": ("run quickstart --methods simcrl", 2),
    "wrong dataset": ("run quickstart --set dataset.name=shaps", 2),
    "wrong backbone": ("run quickstart --set backbone.name=resnet51", 2),
    "wrong recipe": ("run quickstart --set recipe=smal", 2),
    "wrong budget": ("run quickstart --budget epoch=3", 2),
    "wrong device": ("run quickstart --device tpu", 2),
    "wrong tracker": ("run quickstart --track tensorbord", 2),
    "wrong results folder": ("run quickstart --out FILE", 2),
    "wrong image folder": ("plan cpu --data none", 2),
    "wrong sweep": ("sweep mask_rato", 2),
    "wrong storage": ("sweep cnn_jepa_design --storage nonsense", 2),
    "wrong protocol": ("evaluate . --protocols lowshot", 2),
    "wrong checkpoint": ("evaluate none.pth --backbone resnet18 --dataset shapes", 2),
    "wrong format": ("evaluate FILE --backbone resnet18 --dataset shapes --format mocko", 2),
    "wrong run to export": ("export none --to timm --out x", 2),
    "wrong results": ("report none --out x", 2),
    "wrong HDF5 file": ("data inspect none.h5", 2),
    "wrong method of views": ("data views --method simcrl --out x.png", 2),
}
WITH_TORCH = {
    "wrong setting of a recipe": ("run quickstart --set simclr.temperatur=3", 2),
    "wrong batch size": ("run quickstart --set batch_size=100000", 2),
    "wrong image size": ("run quickstart --set dataset.size=33", 2),
}


def main() -> None:
    """Measures and reports every command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="the claim")
    options = parser.parse_args()
    about(
        f"one process per command, {os.cpu_count()} processors, median of {options.rounds} rounds after a warm-up round"
    )
    commands = {**ANSWERS, **WITH_TORCH}
    times: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "FILE").touch()
        for number in range(options.rounds + 1):
            for name, (words, code) in commands.items():
                seconds = measure(words.split(), code, folder)
                times[name] += [seconds] if number else []
    for name, (words, _) in commands.items():
        limit = None if name in WITH_TORCH else 0.5 if name == "help" else options.seconds
        claim(name, statistics.median(times[name]), "s", at_most=limit, detail=f"bench {words}")


def measure(words: list[str], code: int, folder: str) -> float:
    """Wall time of one command in seconds; stops the script if its exit code is not the expected one."""
    start = time.perf_counter()
    completed = subprocess.run(
        [sys.executable, "-m", "benchmark", *words], cwd=folder, capture_output=True, check=False
    )
    seconds = time.perf_counter() - start
    if completed.returncode != code:
        raise SystemExit(f"bench {' '.join(words)}: exit code {completed.returncode}\n{completed.stderr.decode()}")
    return seconds


if __name__ == "__main__":
    main()
