"""What a job of `bench submit` takes beside `bench run` itself: time to the first step, and a share of ten minutes.

Usage: python perf/submit_overhead.py [--repeats N] [--steps N]

A run of a few steps is a job on a Slurm that is started on this machine (Debian's `slurm-wlm`), alternating with the
same run by `bench run`. The batch script notes when it begins and ends, the job's files when `bench` does, and the
run's ledger where its time went. What a job adds does not depend on the length of its run, but for its reports, every
2 s, and its signs of life, every 10 s; these are timed by themselves and added for ten minutes. Claim: less than 5%
of these.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import yaml
from claims import about, claim, skip
from slurm_runs import CLUSTER, EXPERIMENT, bench, slurm_cluster, wait, why_not

from benchmark.cli.job import EVERY
from benchmark.records.folder import find_records
from benchmark.records.heartbeat import BEAT
from benchmark.records.jobs import attempts, find_jobs, write_progress

if TYPE_CHECKING:
    from benchmark.records.schema import LedgerRecord

JOB = 600.0  # seconds
WRITES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    if reason := why_not():
        skip(reason)
    parts: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="overhead-")))
        stack.enter_context(slurm_cluster(folder / "slurm"))
        config = folder / "tiny.yaml"
        config.write_text(yaml.safe_dump({**EXPERIMENT, "budget": {"steps": options.steps}}), encoding="utf-8")
        for number in range(options.repeats):
            measured = _job(config, folder / f"job-{number}") | _run(config, folder / f"run-{number}")
            for name, seconds in measured.items():
                parts.setdefault(name, []).append(seconds)
        parts["writes"] = [_writes(folder)]
    _report({name: median(values) for name, values in parts.items()}, options.repeats)


def _run(config: Path, out: Path) -> dict[str, float]:
    """Seconds of `bench run`."""
    start = time.time()
    bench("run", config, "--methods", "simclr", "--out", out, "--quiet")
    return {"run": time.time() - start}


def _job(config: Path, out: Path) -> dict[str, float]:
    """Seconds of the parts of a job."""
    times = out.with_suffix(".times")
    note = f"date +%s.%N >> {shlex.quote(str(times))}"
    setup = f"cluster.setup=[{note}, \"trap '{note}' EXIT\"]"
    start = time.time()
    bench("submit", config, "--methods", "simclr", "--out", out, *CLUSTER, "--set", setup)
    wait(out, lambda states: all(state.state == "done" for state in states))
    while len(times.read_text().split()) < 2:  # the batch script ends after its run
        time.sleep(0.1)
    began, ended = map(float, times.read_text().split())
    first, last = (line["at"] for line in attempts(find_jobs([out])[0]))
    ((path, record),) = find_records([out])[0]
    assert record.ledger is not None
    run_ended = (path.parent / "encoder.safetensors").stat().st_mtime  # the last that its ledger counts
    run_began = run_ended - record.ledger.total_time
    first_step = run_began + _before_first_step(record.ledger)
    return {
        "submit": began - start,
        "launch": first - began,
        "start": run_began - first,
        "set-up": first_step - run_began,
        "first step": first_step - start,
        "bench": last - first,
        "end": ended - last,
    }


def _before_first_step(ledger: LedgerRecord) -> float:
    return ledger.phases.setup + ledger.phases.warmup


def _writes(folder: Path) -> float:
    """Seconds that a job of ten minutes takes for its reports and signs of life."""
    start = time.perf_counter()
    for _ in range(WRITES):
        write_progress(folder, 0.5, 1.0, "training")
    report = (time.perf_counter() - start) / WRITES
    start = time.perf_counter()
    for _ in range(WRITES):
        (folder / "alive").touch()
    return report * JOB / EVERY + (time.perf_counter() - start) / WRITES * JOB / BEAT


def _report(part: dict[str, float], repeats: int) -> None:
    about(f"medians of {repeats} jobs of one core each, alternating with bench run")
    claim(
        "time from `bench submit` to the first step",
        part["first step"],
        "s",
        detail=f"until Slurm starts the job {part['submit']:.1f} s; srun, submitit and imports {part['launch']:.1f} s; "
        f"bench's start, imports, reading data and the claim {part['start']:.1f} s; set-up and warm-up "
        f"{part['set-up']:.1f} s",
    )
    claim("`bench run` of the same run, against its process in a job", part["run"] / part["bench"], "x",
          detail=f"{part['run']:.1f} s and {part['bench']:.1f} s")  # fmt: skip
    beside = part["launch"] + part["end"] + part["writes"]
    claim(
        "share of a job of ten minutes that is not bench run's own",
        100 * beside / JOB,
        "%",
        at_most=5.0,
        detail=f"before bench {part['launch']:.1f} s, after it {part['end']:.1f} s, reports and signs of life "
        f"{part['writes']:.2f} s",
    )


if __name__ == "__main__":
    main()
