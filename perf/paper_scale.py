"""The cost of a training step at the scale of CNN-JEPA's paper: ResNet-50 and ViT-S/14, 224 px, every method.

Usage: python perf/paper_scale.py [--batch N] [--steps N] [--rounds N] [--methods a,b]

Steps with the settings of `configs/imagenet100.yaml`, on decoded squares of 256 px that are on the device: the loader
is not measured, and views are cropped within the step, whereas the reader crops them in a run on the real images
(`perf/step.py` measures the time of views). Nothing is trained. Entries take turns; a time is the median over the
rounds. Ratios are relative to CNN-JEPA on the masked-dense encoder, as published, and are shown next to the ratios of
its authors' runs, which include loader and probes. Device-hours are those of 200 epochs of ImageNet-100 (126,689
images) at this speed and batch, on one such device.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

import torch
from claims import about, claim
from images import shapes_folder
from rich.console import Console

from benchmark.analysis.published import REPOSITORY, published
from benchmark.cli.console import ConsoleReporter
from benchmark.data.datasets import load_dataset
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.devices import choose_device
from benchmark.machine.interrupt import StopSignal
from benchmark.runs.run import Run
from benchmark.training.profile import seconds_per_step, warm_up

IMAGES = 126_689
EPOCHS = 200  # of the published runs
BASE = "cnn_jepa_dense"


def main() -> None:
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128 if gpu else 16)
    parser.add_argument("--steps", type=int, default=20 if gpu else 1, help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=5 if gpu else 3)
    parser.add_argument("--methods", help="entries of the experiment; without it all that train")
    options = parser.parse_args()
    methods = options.methods.split(",") if options.methods else None
    settings = ["dataset.name=folder", f"batch_size={options.batch}", "precision=auto"]
    experiment, source = load_experiment("imagenet100", methods=methods, settings=settings)
    device = choose_device("auto")
    about(
        f"batch {options.batch}, {experiment.precision}, {options.rounds} rounds of {options.steps} steps, "
        f"{torch.get_num_threads()} threads"
    )
    reporter = ConsoleReporter(True, Console())
    runs: dict[str, Run] = {}
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stop_signal = stack.enter_context(StopSignal(reporter.say))
        made = shapes_folder(folder / "images", max(4 * options.batch, 60), 20, quality=90, side=256)
        dataset = load_dataset(experiment.dataset, made)
        for plan in plan_runs(experiment, resolve_entries(experiment, source), dataset, device):
            if plan.method.trainable:
                run = runs[plan.entry.name] = Run(plan, dataset, device, folder, reporter, stop_signal)
                stack.callback(run.close)
                assert run.training is not None
                warm_up(run.training)
        for _ in range(options.rounds):
            for name, run in runs.items():
                assert run.training is not None
                times.setdefault(name, []).append(seconds_per_step(run.training, options.steps))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, seconds in medians.items():
        ratios = [entry / base for entry, base in zip(times[name], times.get(BASE, times[name]), strict=True)]
        speed = options.batch / seconds
        hours = EPOCHS * IMAGES / speed / 3600
        claim(
            f"{name}, time of a step against {BASE}'s" if BASE in times else f"{name}, against itself",
            statistics.median(ratios),
            "x",
            detail=f"{1e3 * seconds:.0f} ms, {speed:.1f} images/s, {hours:,.0f} device-hours{_published(runs[name])}",
        )


def _published(run: Run) -> str:
    """The authors' time of an epoch, relative to CNN-JEPA's."""
    method, vit = run.spec.entry.method, run.spec.backbone.kind == "vit"
    backbone = "ViT-S/14" if vit else "ResNet-50"
    source = published()[REPOSITORY]
    runs = [row for row in source.runs if (row.method, row.backbone) == (method, backbone)]
    if not runs or run.spec.entry.name == "cnn_jepa":
        return ""
    (row,) = runs
    assert row.epochs is not None
    return f"; published {source.ratio(row) * EPOCHS / row.epochs:.2f} x"


if __name__ == "__main__":
    main()
