"""What `bench cost` measures at the scale of CNN-JEPA's paper, with one and with two threads.

Usage: python perf/step_cost_224.py [--rounds N] [--batch N]

The entries of `configs/imagenet100.yaml` at 224 px on JPEGs of `shapes`, by the command that a user would give.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from claims import about
from commands import Bench, compare_threads


def main() -> None:
    """Measures with one thread, then with two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    settings = ["dataset.name=folder", f"batch_size={options.batch}", "precision=auto"]
    words = [word for setting in settings for word in ("--set", setting)] + ["--rounds", str(options.rounds)]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        one, two = (bench.cost(f"threads-{n}", *words, config="imagenet100", side=256, threads=n) for n in (1, 2))
    flags = ", ".join({*two.flags, *one.flags}) or "none"
    about(f"{two.hardware.text}; batch {options.batch}; {two.rounds} and {one.rounds} rounds; flags: {flags}")
    compare_threads("imagenet100.yaml, 224 px", two, one)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
