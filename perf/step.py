"""Where a training step's time goes, for each entry of an experiment: the shares, and what the loop itself costs.

Usage: python perf/step.py [EXPERIMENT] [--steps N] [--methods a,b] [--data FOLDER]

Claim: the loop spends under 3% of its time outside data, views, forward, backward, optimizer and EMA (`other`).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from rich.console import Console

from benchmark.console import ConsoleReporter
from benchmark.data.datasets import load_dataset
from benchmark.experiment import load_experiment, plan_runs, resolve_entries
from benchmark.interruption import Interruption
from benchmark.run import Run
from benchmark.runner import choose_device
from benchmark.training.loop import breakdown, warm_up

PARTS = ("data", "views", "forward", "backward", "optimizer", "ema", "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", nargs="?", default="quickstart")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--methods")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    methods = options.methods.split(",") if options.methods else None
    experiment, source = load_experiment(options.experiment, methods=methods)
    entries = resolve_entries(experiment, source)
    dataset = load_dataset(experiment.dataset, options.data)
    reporter = ConsoleReporter(True, Console())
    print(
        f"{experiment.name}, batch {experiment.batch_size}, {experiment.precision}, {torch.get_num_threads()} threads"
    )
    print(f"{'entry':<14}{'ms/step':>9}{'images/s':>10}" + "".join(f"{part:>11}" for part in PARTS))
    with tempfile.TemporaryDirectory() as folder, Interruption(reporter.say) as interruption:
        for plan in plan_runs(experiment, entries, dataset.image_size):
            if not plan.method.trainable:
                continue
            run = Run(plan, dataset, choose_device("auto"), Path(folder), reporter, interruption)
            assert run.training is not None
            warm_up(run.training)
            found = breakdown(run.training, options.steps)
            run.close()
            total = found["seconds_per_step"]
            shares = "".join(f"{found['parts'][part] / total:>11.2%}" for part in PARTS)
            speed = experiment.batch_size / total
            print(f"{plan.entry.name:<14}{total * 1e3:>9.1f}{speed:>10.0f}{shares}", flush=True)


if __name__ == "__main__":
    main()
