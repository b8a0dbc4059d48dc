"""What loading data costs a training step: the real loader against batches that are on the device already.

Usage: python perf/loader.py [--data FOLDER] [--steps N] [--rounds N] [--methods a,b]
       python perf/loader.py --experiment imagenet100 [--workers 14] [--batch 128] [--data FOLDER] ...

Steps of an experiment's entries get their batches in turn from the real loader, which decodes JPEGs while steps run,
and from uint8 batches that were fetched before. Views are made within the step on both sides. Images are not kept in
memory. The ratio is the median over all turns. Processor time is that of all threads; it shows what the loader itself
takes if other work on the machine disturbs the clock.

Without `--experiment`, first the `cpu` experiment (slim ResNet-18, 32 px, batches of 128): once from an image folder,
once from the HDF5 files made of it. FOLDER holds `train/<class>/` and `test/<class>/` with small square images, such as
CIFAR-10 as JPEGs. Without it the environment variable `PERF_DATA` names the folder; without either, images of `shapes`
are written to one. Claim: at least 0.95 of the images/s. Then, on a GPU, `imagenet100` (ResNet-50, 224 px) with 14
decoding threads and batches of 128.

With `--experiment`, that experiment from HDF5 files only: the loader's share of the step. FOLDER holds photos; without
it, enlarged `shapes` of 256 px are written to one. `--workers` sets how many threads decode (`BENCH_DECODE_THREADS`).
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
from typing import TYPE_CHECKING

import torch
from claims import about, claim, unmeasured
from images import data_folder, describe, shapes_folder
from rich.console import Console

from benchmark.cli.console import ConsoleReporter
from benchmark.data.datasets import load_dataset
from benchmark.data.decode import THREADS_VARIABLE
from benchmark.data.hdf5.convert import convert_listing
from benchmark.data.layouts.find import list_images
from benchmark.errors import UserError
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.devices import choose_device
from benchmark.machine.interrupt import StopSignal
from benchmark.runs.run import Run
from benchmark.training.loop import run_step
from benchmark.training.profile import undone, warm_up

if TYPE_CHECKING:
    from benchmark.data.loader import RawBatch
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.training.loop import Training

_AIM = 0.95
_READY = 8  # batches used in turn, so that none stays in the processor's caches
_LARGE = ("--experiment", "imagenet100", "--workers", "14", "--batch", "128")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="an image folder; without it, one is made")
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--methods", default="simclr,cnn_jepa")
    parser.add_argument("--experiment", help="instead of cpu; from HDF5 files")
    parser.add_argument("--workers", type=int, help="threads that decode")
    parser.add_argument("--batch", type=int, help="images of a batch; without it, the experiment's")
    options = parser.parse_args()
    if options.workers is not None:
        os.environ[THREADS_VARIABLE] = str(options.workers)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            _measure(options, Path(scratch))
    except UserError as error:
        parser.error(str(error))
    if options.experiment is None:
        _large()


def _measure(options: argparse.Namespace, scratch: Path) -> None:
    large = options.experiment is not None
    folder = options.data or (None if large else data_folder())
    if made := folder is None:
        folder = scratch / "shapes"
        shapes_folder(folder, *((2000, 50) if large else (5000, 500)), quality=90, side=256 if large else 32)
    convert_listing(
        list_images(folder), scratch / "x.h5", None, skip=False, progress=lambda *_: None, say=lambda _: None
    )
    images = describe(folder, made=made)
    if not large:
        _compare("folder", folder, options, scratch, images)
    _compare("hdf5", scratch / "x.h5", options, scratch, images)


def _large() -> None:
    """ResNet-50 at 224 px, in a process of its own with its own number of threads."""
    if torch.cuda.is_available():
        subprocess.run([sys.executable, __file__, *_LARGE], check=True)
        return
    for method in ("simclr", "cnn_jepa"):
        unmeasured(
            f"the loader's share of {method}'s step, resnet50 at 224 px from hdf5", "there is no CUDA device", "%"
        )


def _compare(name: str, path: Path, options: argparse.Namespace, scratch: Path, images: str) -> None:
    settings = [f"dataset.name={name}", "dataset.train_images=null", "evaluation.images=100", "precision=auto"]
    if options.batch is not None:
        settings.append(f"batch_size={options.batch}")
    methods = options.methods.split(",")
    experiment, source = load_experiment(options.experiment or "cpu", methods=methods, settings=settings)
    device = choose_device("auto")
    threads = f"{torch.get_num_threads()} threads"
    if options.workers is not None:
        threads += f", {options.workers} more for decoding"
    about(f"from {name}: {images}; {experiment.precision}, batch {experiment.batch_size}, {threads}")
    dataset = load_dataset(experiment.dataset, path, resident_limit=0)
    reporter = ConsoleReporter(True, Console())
    with StopSignal(reporter.say) as stop_signal:
        for plan in plan_runs(experiment, resolve_entries(experiment, source), dataset, device):
            run = Run(plan, dataset, device, scratch, reporter, stop_signal)
            assert run.training is not None
            warm_up(run.training)
            ready = [run.training.batches.fetch(step) for step in range(_READY)]
            turns = []
            for _ in range(options.rounds):
                real, made = (_turn(run.training, options.steps, batches) for batches in (None, ready))
                turns.append((*real, *made))
            run.close()
            _report(name, plan, options, turns)


def _report(name: str, plan: RunSpec, options: argparse.Namespace, turns: list[tuple[float, ...]]) -> None:
    """Turns: seconds and processor seconds with the real loader, then both with ready-made batches."""
    speed = plan.experiment.batch_size * options.steps
    real, made = (speed / statistics.median(turn[column] for turn in turns) for column in (0, 2))
    costs = [1e3 * statistics.median(turn[column] for turn in turns) / options.steps for column in (1, 3)]
    detail = f"{real:.0f} and {made:.0f} images/s, processor {costs[0]:.1f} and {costs[1]:.1f} ms a step"
    ratio = statistics.median(turn[2] / turn[0] for turn in turns)
    if options.experiment is None:
        row = f"{plan.entry.name} from {name}, against ready-made batches"
        claim(row, ratio, "x", at_least=_AIM, detail=detail)
    else:
        network = f"{plan.backbone.name} at {plan.image_size} px"
        claim(
            f"the loader's share of {plan.entry.name}'s step, {network} from {name}",
            100 * (1 - ratio),
            "%",
            detail=detail,
        )


def _turn(training: Training, steps: int, ready: list[RawBatch] | None) -> tuple[float, float]:
    """Seconds of wall-clock time, and of all threads' processor time."""
    with undone(training):
        # The clock starts after the first step. As many batches are read ahead at the start as at the end, so that each
        # step pays for one, as in a long run, no matter how slow the reader is.
        start = 0.0, 0.0
        for number in range(steps + 1):
            if number == 1:
                training.batches.wait_for_reader()
                start = _now(training)
            run_step(training, 0.5, ready=ready[number % len(ready)] if ready else None)
            training.step += 1
        training.batches.wait_for_reader()
        end = _now(training)
        return end[0] - start[0], end[1] - start[1]


def _now(training: Training) -> tuple[float, float]:
    training.ledger.synchronize()
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main()
