"""The cost of the ledger and the meter, as a share of a training step.

Usage: python perf/ledger.py [EXPERIMENT] [--methods a] [--steps N]

In one run: the steps of an entry (by default the quickstart's fastest one), and the calls that such a step makes to the
ledger, ten thousand times. The meter's thread samples once a second during training; its samples are timed separately.
Claim: both together take less than 0.5% of a step.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from claims import about, claim
from rich.console import Console

from benchmark.cli.console import ConsoleReporter
from benchmark.cost.ledger import Ledger
from benchmark.cost.meter import INTERVAL
from benchmark.cost.sources import sources
from benchmark.data.datasets import load_dataset
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.devices import choose_device
from benchmark.machine.interrupt import StopSignal
from benchmark.runs.run import Run
from benchmark.training.loop import LOG_EVERY, run_step
from benchmark.training.profile import warm_up

CALLS, SAMPLES = 10_000, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", nargs="?", default="quickstart")
    parser.add_argument("--methods", default="supervised")
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    device = choose_device("auto")
    experiment, source = load_experiment(options.experiment, methods=options.methods.split(","))
    dataset = load_dataset(experiment.dataset, None)
    (plan, *_) = plan_runs(experiment, resolve_entries(experiment, source), dataset, device)
    reporter = ConsoleReporter(True, Console())
    with tempfile.TemporaryDirectory() as folder, StopSignal(reporter.say) as stop_signal:
        run = Run(plan, dataset, device, Path(folder), reporter, stop_signal)
        assert run.training is not None
        warm_up(run.training)
        times = []
        for _ in range(options.steps):
            start = time.perf_counter()
            run_step(run.training, 0.5)
            run.ledger.synchronize()
            times.append(time.perf_counter() - start)
        run.close()
    step = statistics.median(times)
    ledger = _ledger_seconds()
    meter = _meter_seconds(device) * step / INTERVAL
    about(f"{plan.entry.name}, {torch.get_num_threads()} threads: {step * 1e3:.2f} ms a step")
    claim(
        "ledger and meter, share of a step",
        100 * (ledger + meter) / step,
        "%",
        at_most=0.5,
        detail=f"ledger {ledger * 1e6:.1f} us a step, meter {meter * 1e6:.1f} us a step",
    )


def _ledger_seconds() -> float:
    """Seconds of the ledger calls of one step, including those of every `LOG_EVERY` steps."""
    ledger = Ledger()
    start = time.perf_counter()
    with ledger.phase("training"):
        for number in range(CALLS):
            with ledger.waiting_for_data():
                pass
            ledger.count(64, 2)
            assert ledger.training_time >= 0.0  # read by the progress and by the saving
            assert ledger.training_time >= 0.0
            if number % LOG_EVERY == 0:
                with ledger.phase("logging"):
                    ledger.close_window()
    return (time.perf_counter() - start) / CALLS


def _meter_seconds(device: torch.device) -> float:
    """Seconds of reading all counters once, which the meter does every `INTERVAL` seconds."""
    read = sources(device)
    start = time.perf_counter()
    for _ in range(SAMPLES):
        for source in read:
            source.read()
    return (time.perf_counter() - start) / SAMPLES


if __name__ == "__main__":
    main()
