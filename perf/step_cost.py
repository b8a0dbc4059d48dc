"""Whether `bench cost` says what runs cost, and what a busy machine does to both.

Usage: python perf/step_cost.py [--parts runs,busy,threads,paper] [--steps N] [--busy-steps N] [--rounds N] [--batch N]

Every measurement is the command that a user would give, in a process of its own, on JPEGs of `shapes`:
`configs/cpu.yaml`, and for `paper` the entries of `configs/imagenet100.yaml` at 224 px and a small batch.

runs: a default `bench cost`, its time and its precision; then runs of `--steps` steps of every self-supervised entry,
one after the other, with three more rounds of the measurement before and after each. Claims: a run's seconds per step
are within 3% of the rounds around it; `bench cost` takes at most 6 minutes, with ratios within 3%.
busy: another process burns one core in random bursts of 1 to 20 s, with pauses of the same lengths. Claims: the ratios
of `bench cost` stay within 5% of the quiet ones, while ratios of runs' own clocks move by more than 15%.
threads, paper: the same measurement with one and with two threads.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from claims import about, claim
from images import shapes_folder

from benchmark.records.cost import Block, StepCost, find_costs
from benchmark.records.folder import find_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PARTS = ("runs", "busy", "threads", "paper")
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
    parser.add_argument("--rounds", type=int, default=5, help="at 224 px")
    parser.add_argument("--batch", type=int, default=16, help="at 224 px")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"--parts: no part '{unknown[0]}'; choices: {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder))
        quiet: StepCost | None = None
        clocks: dict[str, float] = {}
        if {"runs", "busy", "threads"} & set(parts):
            quiet = _default(bench)
        if "runs" in parts:
            clocks = _runs(bench, options.steps)
        if "busy" in parts and quiet is not None:
            _busy(bench, quiet, clocks, options.busy_steps)
        if "threads" in parts and quiet is not None:
            _threads("cpu.yaml", quiet, bench.cost("one-thread", "--rounds", 8, threads=1))
        if "paper" in parts:
            settings = ["--set", "dataset.name=folder", "--set", f"batch_size={options.batch}"]
            settings += ["--set", "precision=auto", "--rounds", str(options.rounds)]
            one, two = (bench.cost(f"paper-{n}", *settings, config="imagenet100", side=256, threads=n) for n in (1, 2))
            _threads(f"imagenet100.yaml, 224 px, batch {options.batch}", two, one)


class _Bench:
    """Gives commands, on images that are made when they are needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: dict[int, Path] = {}
        self.seconds = 0.0

    def images(self, side: int) -> Path:
        """A folder of images, as many as a batch and its validation split need."""
        if side not in self._images:
            count, test = (1400, 100) if side == 32 else (64, 20)
            self._images[side] = shapes_folder(self._folder / f"images-{side}", count, test, quality=90, side=side)
        return self._images[side]

    def give(self, *arguments: object, threads: int | None = None) -> None:
        """Gives a command, and notes how long it took."""
        environment = {**os.environ, **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
        command = [sys.executable, "-m", "benchmark", *map(str, arguments)]
        start = time.monotonic()
        subprocess.run(command, env=environment, check=True, cwd=Path(__file__).parents[1])
        self.seconds = time.monotonic() - start

    def cost(
        self, name: str, *options: object, config: str = "cpu", side: int = 32, threads: int | None = None
    ) -> StepCost:
        """What `bench cost` measures, into a folder of its own; the same name goes on with that measurement."""
        out, whole = self._folder / name, ["--set", "dataset.train_images=null"] if config == "cpu" else []
        self.give("cost", config, "--data", self.images(side), *whole, "--out", out, *options, threads=threads)
        found, _ = find_costs([out])
        return max((cost for _, cost in found), key=lambda cost: cost.rounds)

    def run(self, name: str, entry: str, steps: int) -> float:
        """Seconds per step by a run's own clock."""
        out = self._folder / name
        settings = ["dataset.train_images=null", "evaluation.points=1", "evaluation.images=200"]
        options = [word for setting in settings for word in ("--set", setting)]
        options += ["--methods", entry, "--budget", f"steps={steps}", "--quiet"]
        self.give("run", "cpu", "--data", self.images(32), *options, "--out", out)
        ledgers = {record.entry: record.ledger for _, record in find_records([out])[0]}
        ledger = ledgers[entry]
        assert ledger is not None
        return ledger.training_time / ledger.steps


def _default(bench: _Bench) -> StepCost:
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


def _runs(bench: _Bench, steps: int) -> dict[str, float]:
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


def _busy(bench: _Bench, quiet: StepCost, clocks: dict[str, float], steps: int) -> None:
    """The same beside other load."""
    with _burning(seed=random.randrange(1000)):
        busy = bench.cost("busy")
        loaded = {entry: bench.run("loaded", entry, steps) for entry in SELF_SUPERVISED if steps}
    clocks = clocks or {entry: bench.run("alone", entry, steps) for entry in SELF_SUPERVISED if steps}
    before, after = ({entry.entry: entry for entry in cost.entries} for cost in (quiet, busy))
    flags = ", ".join(busy.flags) or "none"
    about(f"beside other load: {busy.rounds} rounds; flags: {flags}")
    moves = {}
    for entry in SELF_SUPERVISED:
        own, other = before[entry].ratio, after[entry].ratio
        assert own is not None and other is not None
        move = other.median / own.median
        base = quiet.reference
        if steps:
            moves[entry] = (loaded[entry] / loaded[base]) / (clocks[entry] / clocks[base])
        if entry != base:
            counted = f"{after[entry].rounds} of {busy.rounds} rounds counted"
            claim(
                f"{entry}, ratio to {base}: beside other load `bench cost` differs by",
                100 * abs(move - 1),
                "%",
                at_most=5.0,
                detail=f"{own.median:.3f} quiet, {other.median:.3f} busy ({counted})"
                + (f"; the ratio of runs' own clocks moved {moves[entry]:.2f} x" if steps else ""),
            )
    if not moves:
        return
    worst = max(abs(move - 1) for move in moves.values())
    claim("largest move of a ratio of runs' own clocks", 100 * worst, "%", at_least=15.0, detail=f"{steps} steps each")


def _threads(name: str, two: StepCost, one: StepCost) -> None:
    """Both measurements, entry by entry."""
    single = {entry.entry: entry for entry in one.entries}
    for entry in two.entries:
        other = single[entry.entry]
        if entry.seconds_per_step is None or other.seconds_per_step is None or not entry.ratio or not other.ratio:
            claim(f"{name}, {entry.entry}", 0.0, "x", detail=f"{entry.status}, {other.status}")
            continue
        claim(
            f"{name}, {entry.entry}: one thread against two",
            other.seconds_per_step.median / entry.seconds_per_step.median,
            "x",
            detail=f"two threads {1e3 * entry.seconds_per_step.median:.0f} ms/step, ratio to {two.reference} "
            f"{entry.ratio.median:.2f} ± {100 * entry.ratio.half_width:.1f}%; one thread "
            f"{1e3 * other.seconds_per_step.median:.0f} ms/step, {other.ratio.median:.2f} "
            f"± {100 * other.ratio.half_width:.1f}%",
        )


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
