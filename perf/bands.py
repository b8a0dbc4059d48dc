"""Measures the bands of `bench check`: several seeds of its experiment, and what to expect of a further one.

Usage: python perf/bands.py [--seeds N] [--out FOLDER]

Prints `benchmark/bands.yaml`. A band is the mean of the validation accuracies plus and minus four standard deviations
(at least 1.5 points), cut at 0 and 100. Nothing here runs by itself: bands are committed by hand, with the reason.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmark.records import find_records

LEAST = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="keep the runs there, and go on from them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        seeds = ",".join(map(str, range(options.seeds)))
        command = [sys.executable, "-m", "benchmark", "run", "check", "--seeds", seeds, "--out", str(out)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        records, _ = find_records([out])
    reached: dict[str, list[float]] = defaultdict(list)
    for _, record in records:
        if record.metrics is not None:
            reached[record.entry].append(record.metrics.scores.linear_validation_top1)
    print(f"# Linear top-1 on the validation split, percent; perf/bands.py over {options.seeds} seeds.")
    print("bands:")
    for entry, values in sorted(reached.items()):
        width = max(4 * statistics.stdev(values), LEAST)
        mean = statistics.fmean(values)
        low, high = max(0.0, mean - width), min(100.0, mean + width)
        print(f"  {entry}: [{low:.1f}, {high:.1f}]  # {', '.join(f'{value:.1f}' for value in sorted(values))}")


if __name__ == "__main__":
    main()
