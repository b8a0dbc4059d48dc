"""Whether `bench cost` says what runs cost, and what a busy machine does to both.

Usage: python perf/step_cost.py [--parts runs,threads,busy] [--steps N] [--busy-steps N]

Every measurement is the command that a user would give, in a process of its own: `configs/cpu.yaml` on JPEGs of
`shapes`.

runs: a default `bench cost`, its time and its precision; then runs of `--steps` steps of every self-supervised entry,
one after the other, with three more rounds of the measurement before and after each. Claims: a run's seconds per step
are within 3% of the rounds around it; `bench cost` takes at most 6 minutes, with ratios within 3%.
threads: the same measurement with one thread.
busy: another process burns one core in random bursts of 1 to 20 s, with pauses of the same lengths. Claims: the ratios
of `bench cost` stay within 5% of the quiet ones, while ratios of runs' own clocks move by more than 15%.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from claims import about, claim
from commands import Bench, compare_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmark.records.cost import Block, StepCost

PARTS = ("runs", "threads", "busy")
SELF_SUPERVISED = ("cnn_jepa", "cnn_jepa_dense", "byol", "simclr", "vicreg", "ijepa", "simclr_vit")
BETWEEN = 3  # rounds of the measurement between two runs
_BURN = """
import random, sys, time
random.seed(int(sys.argv[1]))
while True:
    until = time.monotonic() + random.uniform(1, 20)
    while time.monotonic() < until:
        pass
    time.sleep(random.uniform(1, 20))
"""


def main() -> None:
    """Measures the parts that are wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--steps", type=int, default=300, help="of a run")
    parser.add_argument("--busy-steps", type=int, default=40, help="of a run beside other load; 0 for no runs")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"--parts: no part '{unknown[0]}'; choices: {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        quiet = _default(bench)
        clocks = _runs(bench, options.steps) if "runs" in parts else {}
        if "threads" in parts:
            compare_threads("cpu.yaml", quiet, bench.cost("one-thread", "--rounds", 8, threads=1))
        if "busy" in parts:
            _busy(bench, quiet, clocks, options.busy_steps)


def _default(bench: Bench) -> StepCost:
    """A default measurement: how long it takes and how precise it is."""
    bench.images(32)
    cost = bench.cost("quiet")
    entries = [entry for entry in cost.entries if entry.ratio is not None]
    about(
        f"{cost.hardware.text}; {cost.rounds} rounds, {len(entries)} entries that train of ten in configs/cpu.yaml; "
        f"others kept {max(entry.other_cores or 0.0 for entry in entries):.2f} cores busy at most"
    )
    claim("time of a default `bench cost`", bench.seconds / 60, "min", at_most=6.0, detail=f"{cost.rounds} rounds")
    width = max(entry.ratio.half_width for entry in entries if entry.ratio)
    claim("half-width of its widest ratio", 100 * width, "%", at_most=3.0)
    return cost


def _runs(bench: Bench, steps: int) -> dict[str, float]:
    """Whole runs against the rounds of the measurement around each of them; returns the runs' seconds per step."""
    clocks: dict[str, float] = {}
    rounds = 5

    def measure() -> StepCost:
        return bench.cost("around", "--rounds", rounds, "--precise", "0.001%")

    cost = measure()
    around: dict[str, range] = {}
    for entry in SELF_SUPERVISED:
        clocks[entry] = bench.run("whole", entry, steps)
        first = rounds - BETWEEN
        rounds += BETWEEN
        around[entry] = range(first, rounds)
        cost = measure()
    blocks = {entry.entry: entry.blocks for entry in cost.entries}
    for entry, seconds in clocks.items():
        near = _median([block for block in blocks[entry] if block.round in around[entry]])
        every = _median(blocks[entry])
        claim(
            f"{entry}, a run of {steps} steps differs from `bench cost` by",
            100 * abs(seconds / near - 1),
            "%",
            at_most=3.0,
            detail=f"run {1e3 * seconds:.0f} ms/step, rounds around it {1e3 * near:.0f}, all rounds {1e3 * every:.0f}",
        )
    return clocks


def _busy(bench: Bench, quiet: StepCost, clocks: dict[str, float], steps: int) -> None:
    """The same beside other load."""
    with _burning(seed=random.randrange(1000)):
        busy = bench.cost("busy")
        loaded = {entry: bench.run("loaded", entry, steps) for entry in SELF_SUPERVISED if steps}
    clocks = clocks or {entry: bench.run("alone", entry, steps) for entry in SELF_SUPERVISED if steps}
    before, after = ({entry.entry: entry for entry in cost.entries} for cost in (quiet, busy))
    flags = ", ".join(busy.flags) or "none"
    about(f"beside other load: {busy.rounds} rounds; flags: {flags}")
    moves = {}
    for entry in before:
        own, other = before[entry].ratio, after[entry].ratio
        assert own is not None and other is not None
        move = other.median / own.median
        base = quiet.reference
        if entry in loaded:
            moves[entry] = (loaded[entry] / loaded[base]) / (clocks[entry] / clocks[base])
        if entry != base:
            counted = f"{after[entry].rounds} of {busy.rounds} rounds counted"
            claim(
                f"{entry}, ratio to {base}: beside other load `bench cost` differs by",
                100 * abs(move - 1),
                "%",
                at_most=5.0,
                detail=f"{own.median:.3f} quiet, {other.median:.3f} busy ({counted})"
                + (f"; the ratio of runs' own clocks moved {moves[entry]:.2f} x" if entry in moves else ""),
            )
    if not moves:
        return
    worst = max(abs(move - 1) for move in moves.values())
    claim("largest move of a ratio of runs' own clocks", 100 * worst, "%", at_least=15.0, detail=f"{steps} steps each")


def _median(blocks: Sequence[Block]) -> float:
    return float(np.median([block.seconds / block.steps for block in blocks]))


@contextmanager
def _burning(seed: int) -> Iterator[None]:
    """Another process that burns one core in bursts."""
    process = subprocess.Popen([sys.executable, "-c", _BURN, str(seed)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
