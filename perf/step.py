"""The time of a training step by part, for each entry of an experiment, and the cost of the training loop itself.

Usage: python perf/step.py [EXPERIMENT] [--steps N] [--methods a,b] [--data FOLDER]

FOLDER is for experiments on an image folder. Without it the environment variable `PERF_DATA` names the folder.

Three measurements in one run. First, the real loop trains N steps; `loop` is the share of its training time outside the
parts of a step (schedules, ledger, progress, checks). Second, N steps with a clock after each part give the shares of
the parts. Third, a few steps under torch's profiler: `outside` is the share of the operations' own time outside
convolutions, matrix products and attention (equal engineering, rule 27: no method should be slow because of its norms,
gathers or optimizer). Claim: `loop` and `other` together are under 3%.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from claims import about, claim
from images import data_folder
from rich.console import Console

from benchmark.cli.console import ConsoleReporter
from benchmark.cost.budget import Budget
from benchmark.data.datasets import load_dataset
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.devices import choose_device
from benchmark.machine.interrupt import StopSignal
from benchmark.runs.run import Run
from benchmark.training import loop
from benchmark.training.loop import Callbacks, Training, run_step, train
from benchmark.training.profile import PARTS, breakdown, undone, warm_up

PRODUCTS = (
    "conv",
    "mm",
    "gemm",
    "scaled_dot_product",
    "flash",
    "cutlass",
    "xmma",
)  # in names of operations and kernels
PROFILED = 5  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", nargs="?", default="quickstart")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--methods")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    methods = options.methods.split(",") if options.methods else None
    experiment, source = load_experiment(options.experiment, methods=methods)
    device = choose_device("auto")
    entries = resolve_entries(experiment, source)
    data = options.data or (data_folder() if experiment.dataset.name == "folder" else None)
    dataset = load_dataset(experiment.dataset, data)
    reporter = ConsoleReporter(True, Console())
    about(
        f"{experiment.name} on {sum(dataset.manifest.counts.values()):,} images of {dataset.name}, "
        f"batch {experiment.batch_size}, {experiment.precision}, {torch.get_num_threads()} threads"
    )
    heads = ("loop", *PARTS, "outside")
    print(f"{'entry':<14}{'ms/step':>9}{'images/s':>10}" + "".join(f"{head:>15}" for head in heads))
    with tempfile.TemporaryDirectory() as folder, StopSignal(reporter.say) as stop_signal:
        for plan in plan_runs(experiment, entries, dataset, device):
            if not plan.method.trainable:
                continue
            run = Run(plan, dataset, device, Path(folder), reporter, stop_signal)
            assert run.training is not None
            warm_up(run.training)
            spent = _loop_share(run, options.steps)
            profile = breakdown(run.training, options.steps)
            outside = _outside_products(run.training)
            run.close()
            total = profile["seconds_per_step"]
            shares = "".join(f"{profile['parts'].get(part, 0.0) / total:>15.2%}" for part in PARTS)
            speed = experiment.batch_size / total
            claim(
                f"{plan.entry.name}: the loop and time in no part, share of a step",
                100 * (spent + profile["parts"]["other"] / total),
                "%",
                at_most=3,
                detail=f"{total * 1e3:.1f} ms a step, {speed:.0f} images/s; {outside:.0%} outside matrix products",
                line=f"{plan.entry.name:<14}{total * 1e3:>9.1f}{speed:>10.0f}{spent:>15.2%}{shares}{outside:>15.2%}",
            )


def _loop_share(run: Run, steps: int) -> float:
    """The share of training time that the real loop spends outside `run_step`."""
    assert run.training is not None
    training = run.training
    training.spec = replace(training.spec, budget=Budget("steps", steps))
    real, inside = loop.run_step, 0.0

    def timed(*arguments: Any) -> Any:
        nonlocal inside
        start = time.perf_counter()
        result = real(*arguments)
        inside += time.perf_counter() - start
        return result

    loop.run_step = timed
    try:
        train(training, Callbacks(), points=1)
    finally:
        loop.run_step = real
    return 1 - inside / run.ledger.training_time


def _outside_products(training: Training) -> float:
    """The share of the operations' own time outside convolutions, matrix products and attention."""
    from torch.profiler import ProfilerActivity, profile

    device = training.fabric.device.type
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with undone(training), profile(activities=activities) as profiler:
        for _ in range(PROFILED):
            run_step(training, 0.5)
            training.step += 1
    own: dict[bool, float] = {True: 0.0, False: 0.0}
    for event in profiler.key_averages():
        is_product = any(word in event.key for word in PRODUCTS)
        own[is_product] += event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
    return own[False] / (own[True] + own[False])


if __name__ == "__main__":
    main()
