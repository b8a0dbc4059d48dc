"""What it costs to give freed memory back to the system after every training step, on a CPU.

Usage: python perf/allocator.py [--rounds N] [--steps N] [--methods a,b]

Steps of entries of `configs/cpu.yaml` on scenes of `shapes`, in two processes each that take turns: one keeps freed
memory, as runs do (`benchmark/machine/allocator.py`), one has the C library's defaults. Claim: keeping it is at least
1.03 times as fast for every entry.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from claims import about, claim, skip

_CHILD = """
import resource, sys
import torch
from benchmark.data.datasets import load_dataset
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import load_experiment
from benchmark.machine.ranks import Ranks
from benchmark.runs import build
from benchmark.runs.workbench import Workbench
from benchmark.training.profile import timed_block
how, entry, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
if how == "default":
    build.keep_freed_memory = lambda: False
settings = ["dataset.name=shapes", "dataset.shapes_train=400", "dataset.train_images=null", "dataset.size=32"]
experiment, source = load_experiment("cpu", methods=[entry], settings=settings)
dataset = load_dataset(experiment.dataset, None)
cpu = torch.device("cpu")
(spec,) = plan_runs(experiment, resolve_entries(experiment, source), dataset, cpu)
with Workbench(dataset, Ranks(cpu)) as bench:
    bench.use(spec, lambda training: timed_block(training, 1, 0.5))
    for line in sys.stdin:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block = bench.use(spec, lambda training: timed_block(training, steps, 0.5))
        faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (steps + 1)
        print(block.seconds / steps, faults, flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--methods", default="cnn_jepa,simclr,byol,ijepa")
    options = parser.parse_args()
    if sys.platform != "linux":
        skip("mallopt is glibc's")
    about(f"{options.rounds} rounds of {options.steps} steps, batch 128, 32 px, slim ResNet-18 and ViT")
    for entry in options.methods.split(","):
        children = {how: _child(how, entry, options.steps) for how in ("keep", "default")}
        turns = [{how: _turn(child) for how, child in children.items()} for _ in range(options.rounds)]
        for child in children.values():
            child.communicate()
        ratio = statistics.median(turn["default"][0] / turn["keep"][0] for turn in turns)
        seconds, faults = ({how: statistics.median(t[how][i] for t in turns) for how in children} for i in (0, 1))
        claim(
            f"{entry}, keeping freed memory",
            ratio,
            "x",
            at_least=1.03,
            detail=f"kept {1e3 * seconds['keep']:.0f} ms/step, {faults['keep']:,.0f} page faults; given back "
            f"{1e3 * seconds['default']:.0f} ms/step, {faults['default']:,.0f}",
        )


def _child(how: str, entry: str, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _CHILD, how, entry, str(steps)]
    root = Path(__file__).parents[1]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)


def _turn(child: subprocess.Popen[str]) -> tuple[float, float]:
    assert child.stdin is not None and child.stdout is not None
    print("go", file=child.stdin, flush=True)
    seconds, faults = child.stdout.readline().split()
    return float(seconds), float(faults)


if __name__ == "__main__":
    main()
