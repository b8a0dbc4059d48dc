"""Gives `bench` commands on made images, and compares measurements of `bench cost`; for scripts in this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from claims import claim, unmeasured
from images import shapes_folder

from benchmark.records.cost import StepCost, find_costs
from benchmark.records.folder import find_records


class Bench:
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


def compare_threads(name: str, two: StepCost, one: StepCost) -> None:
    """Reports two measurements of the same entries, on two threads and on one."""
    single = {entry.entry: entry for entry in one.entries}
    for entry in two.entries:
        other = single[entry.entry]
        if entry.seconds_per_step is None or other.seconds_per_step is None or not entry.ratio or not other.ratio:
            unmeasured(f"{name}, {entry.entry}: one thread against two", f"{entry.status}, {other.status}", "x")
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
