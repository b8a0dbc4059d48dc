"""What real data costs a training step: the real loader against batches that lie on the device already.

Usage: python perf/loader.py [--data FOLDER] [--steps N] [--rounds N] [--methods a,b]

The steps of the `cpu` experiment's entries (slim ResNet-18, 32 px, batches of 128), each fed in turn by the real
loader, which decodes JPEGs while steps run, and by uint8 batches that have been fetched before; views are made within
the step on both sides. Once from an image folder, once from the HDF5 files made of it; neither is kept in memory.
FOLDER holds `train/<class>/` and `test/<class>/` with small square images, such as CIFAR-10 as JPEGs; without it,
images of `shapes` are written to one. The sides take turns; the ratio is the median over all turns. Processor time is
that of all threads, and tells what the loader itself takes where other work on the machine disturbs the clock. Claim:
at least 0.95 of the images/s.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from claims import about, claim
from rich.console import Console
from torchvision.io import encode_jpeg

from benchmark.console import ConsoleReporter
from benchmark.data.convert import convert_folder
from benchmark.data.datasets import load_dataset
from benchmark.data.shapes import CLASSES, render_shapes
from benchmark.devices import choose_device
from benchmark.experiment import load_experiment, plan_runs, resolve_entries
from benchmark.interruption import Interruption
from benchmark.precision import settle
from benchmark.run import Run
from benchmark.training.loop import run_step
from benchmark.training.measure import undone, warm_up

if TYPE_CHECKING:
    from benchmark.data.batches import RawBatch
    from benchmark.training.loop import Training

_AIM = 0.95
_READY = 8  # batches that take turns, so that none stays in the processor's caches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="an image folder; without it, one is made")
    parser.add_argument("--steps", type=int, default=10, help="of a turn")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--methods", default="simclr,cnn_jepa")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.data or _shapes(Path(scratch) / "shapes")
        convert_folder(folder, Path(scratch) / "x.h5", None, skip=False, progress=lambda *_: None, say=lambda _: None)
        for name, path in (("folder", folder), ("hdf5", Path(scratch) / "x.h5")):
            _compare(name, path, options, Path(scratch))


def _shapes(folder: Path) -> Path:
    """An image folder of JPEGs."""
    for split, count in (("train", 5000), ("test", 500)):
        scenes = render_shapes(0, split, count)
        for index, (image, label) in enumerate(zip(scenes.pixels, scenes.labels.tolist(), strict=True)):
            place = folder / split / CLASSES[label]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{index:04}.jpg").write_bytes(encode_jpeg(image, quality=90).numpy().tobytes())
    return folder


def _compare(name: str, path: Path, options: argparse.Namespace, scratch: Path) -> None:
    settings = [f"dataset.name={name}", "dataset.train_images=null", "evaluation.images=100"]
    experiment, source = load_experiment("cpu", methods=options.methods.split(","), settings=settings)
    device = choose_device("auto")
    experiment = settle(experiment, device)
    about(f"{name}: {experiment.precision}, batch {experiment.batch_size}, {torch.get_num_threads()} threads")
    dataset = load_dataset(experiment.dataset, path, resident_limit=0)
    reporter = ConsoleReporter(True, Console())
    with Interruption(reporter.say) as interruption:
        for plan in plan_runs(experiment, resolve_entries(experiment, source), dataset.image_size):
            run = Run(plan, dataset, device, scratch, reporter, interruption)
            assert run.training is not None
            warm_up(run.training)
            ready = [run.training.batches.fetch(step) for step in range(_READY)]
            turns = []
            for _ in range(options.rounds):
                real, made = (_turn(run.training, options.steps, batches) for batches in (None, ready))
                turns.append((*real, *made))
            run.close()
            speed = experiment.batch_size * options.steps
            real, made = (speed / statistics.median(turn[place] for turn in turns) for place in (0, 2))
            ratio = statistics.median(turn[2] / turn[0] for turn in turns)
            costs = [1e3 * statistics.median(turn[place] for turn in turns) / options.steps for place in (1, 3)]
            claim(
                f"{plan.entry.name} from {name}, against ready-made batches",
                ratio,
                "x",
                at_least=_AIM,
                detail=f"{real:.0f} and {made:.0f} images/s, processor {costs[0]:.1f} and {costs[1]:.1f} ms a step",
            )


def _turn(training: Training, steps: int, ready: list[RawBatch] | None) -> tuple[float, float]:
    """Seconds by the clock, and of all threads' processor time."""
    with undone(training):
        # The first step is before the clock starts: within it each step then reads one batch, as in a long run.
        start = 0.0, 0.0
        for number in range(steps + 1):
            if number == 1:
                training.batches.wait_for_reader()
                start = _now(training)
            run_step(training, 0.5, ready=ready[number % len(ready)] if ready else None)
            training.step += 1
        end = _now(training)
        # What is being read ahead must not disturb the next turn.
        training.batches.wait_for_reader()
        return end[0] - start[0], end[1] - start[1]


def _now(training: Training) -> tuple[float, float]:
    training.ledger.synchronize()
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main()
