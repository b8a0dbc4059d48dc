"""Runs of `bench submit` on a Slurm of two nodes, preempted at random moments, against undisturbed ones of `bench run`.

Usage: python perf/preemption.py [--preemptions N] [--seed N] [--steps N] [--folder FOLDER]

Three entries and two seeds train on a Slurm that is started on this machine (Debian's `slurm-wlm`). N times, after a
random pause, a running job is requeued (`scontrol requeue`) or told to save (SIGUSR1, SIGUSR2, SIGTERM). One more run
has a time limit shorter than its training. Claim: each run has one record, whose metrics, history and encoder are
those of the undisturbed run, bit for bit, and a ledger that adds up. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from claims import about, claim, skip
from slurm_runs import CLUSTER, EXPERIMENT, begun, bench, slurm_cluster, wait, why_not

from benchmark.records.folder import find_records
from benchmark.records.jobs import attempts, find_jobs, job_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.records.jobs import JobState
    from benchmark.records.schema import LedgerRecord, Record

SIGNALS = ("USR1", "USR2", "TERM")
PAUSE = 20.0  # seconds at most between two preemptions, so that they come at any moment of an attempt
LIMIT = ("--set", "cluster.time=60", "--set", "cluster.notice=5")  # Slurm's shortest limit is a minute
LONGER = 75.0  # seconds of training of the run with that limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preemptions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments, the jobs and the ways")
    parser.add_argument("--steps", type=int, default=150, help="of each run; a run has to last for its preemptions")
    parser.add_argument("--folder", type=Path, help="keep everything there")
    options = parser.parse_args()
    if reason := why_not():
        skip(reason)
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="preemption-")))
        stack.enter_context(slurm_cluster(folder / "slurm"))
        problems = measure(folder, options.preemptions, options.seed, options.steps)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


def measure(folder: Path, preemptions: int, seed: int, steps: int) -> list[str]:
    """Trains all runs both ways on the Slurm of this process, and reports; what differs, in words."""
    config, whole, parts = folder / "tiny.yaml", folder / "whole", folder / "parts"
    since = time.time()
    config.write_text(yaml.safe_dump({**EXPERIMENT, "budget": {"steps": steps}}), encoding="utf-8")
    bench("run", config, "--seeds", "0,1", "--out", whole, "--share", "--quiet")
    bench("submit", config, "--seeds", "0,1", "--out", parts, *CLUSTER, "--set", "cluster.time=1h")
    hits = preempt(parts, preemptions, random.Random(seed))
    wait(parts, lambda states: all(state.state == "done" for state in states))
    longer = ("--seeds", "2", "--methods", "simclr", "--budget", f"steps={_steps(whole, LONGER)}")
    bench("run", config, *longer, "--out", whole, "--share", "--quiet")
    limited = folder / "limited"
    bench("submit", config, *longer, "--out", limited, *CLUSTER, *LIMIT)
    wait(limited, lambda states: all(state.state == "done" for state in states))

    rows, problems = [], []
    for out in (parts, limited):
        for row, wrong in compare(whole, out, since):
            rows.append(row)
            problems += wrong
    about(f"{steps} steps a run, {len(hits)} preemptions ({', '.join(hits)}), seed {seed}")
    print(f"{'run':<34}{'attempts':>9}{'resumed':>9}{'training':>10}{'total':>9}")
    for name, count, ledger in rows:
        print(f"{name:<34}{count:>9}{ledger.resumed:>9}{ledger.training_time:>8.1f} s{ledger.total_time:>7.1f} s")
    disturbed, (_, jobs, _) = rows[:-1], rows[-1]
    claim(
        "runs, preempted at random, that equal undisturbed ones",
        len(rows) - len({problem.partition(":")[0] for problem in problems}),
        "runs",
        at_least=len(rows),
        detail=f"{len(hits)} preemptions, {sum(count for _, count, _ in disturbed)} attempts at {len(disturbed)} runs",
    )
    claim("jobs of a run that takes longer than its time limit", jobs, "jobs", at_least=2, detail="a minute each")
    if len(hits) < preemptions:
        problems.append(f"all runs ended after {len(hits)} preemptions: --steps is too small")
    return problems + (["the run with a time limit took one job"] if jobs < 2 else [])


def _steps(whole: Path, seconds: float) -> int:
    """Steps of SimCLR that take so many seconds here."""
    ledgers = [record.ledger for _, record in find_records([whole])[0] if record.entry == "simclr"]
    return ceil(seconds / min(ledger.training_time / ledger.steps for ledger in ledgers if ledger is not None))


def preempt(out: Path, count: int, draws: random.Random, pause: float = PAUSE) -> list[str]:
    """Hits running jobs at random moments, every other time one that trains; what was done to them.

    Fewer than `count` where all have ended before.
    """
    hits: dict[tuple[str, str], str] = {}  # by the job, and when it was started: none is hit twice
    while len(hits) < count:
        moment = time.monotonic() + draws.uniform(0.0, pause)
        way, candidates = draws.choice(("requeue", *SIGNALS)), (running, training)[len(hits) % 2]
        jobs: list[tuple[str, str]] = []

        def ready(states: list[JobState]) -> bool:
            nonlocal jobs
            if time.monotonic() >= moment:  # noqa: B023
                chosen = candidates(states)  # noqa: B023
                jobs = sorted(start for start in begun().items() if start[0] in chosen and start not in hits)
            return bool(jobs) or ended(states)

        if ended(wait(out, ready)):
            break
        command = ["scontrol", "requeue"] if way == "requeue" else ["scancel", "--signal", way]
        start = draws.choice(jobs)
        if not subprocess.run([*command, start[0]], capture_output=True, check=False).returncode:
            hits[start] = way
    return list(hits.values())


def running(states: Sequence[JobState]) -> list[str]:
    """The ids of all jobs: of those that Slurm calls running, the processes may not have begun."""
    return [state.job.id for state in states]


def training(states: Sequence[JobState]) -> list[str]:
    """The ids of the jobs whose present attempt has begun to train."""
    found = []
    for state in states:
        report = state.folder / "progress.json"
        if state.state == "running" and state.reason == "training":
            begun = attempts(state.folder)[-1]["at"]
            found += [state.job.id] * (report.stat().st_mtime > begun)
    return found


def ended(states: Sequence[JobState]) -> bool:
    return all(state.state == "done" for state in states)


def compare(whole: Path, out: Path, since: float) -> list[tuple[tuple[str, int, LedgerRecord], list[str]]]:
    """For each job the run's name, how often it began, its ledger, and what is wrong with it.

    Args:
        since: when the jobs were first submitted, in seconds since the epoch.
    """
    undisturbed = {record.key: (path.parent, record) for path, record in find_records([whole])[0]}
    found: dict[str, list[tuple[Path, Record]]] = {}
    for path, record in find_records([out])[0]:
        found.setdefault(record.key, []).append((path.parent, record))
    rows = []
    for state in map(job_state, find_jobs([out])):
        name, key = state.job.name, state.job.key or ""
        if len(found.get(key, ())) != 1 or key not in undisturbed:
            raise SystemExit(f"{name}: {len(found.get(key, ()))} records")
        (folder, record), (other, wanted) = found[key][0], undisturbed[key]
        assert record.ledger is not None and wanted.ledger is not None
        wrong = [f"{name}: {what}" for what in _differences(record, wanted, state, since)]
        wrong += [
            f"{name}: {file} differs"
            for file in ("history.jsonl", "encoder.safetensors")
            if (folder / file).read_bytes() != (other / file).read_bytes()
        ]
        left = [path.name for path in folder.iterdir() if path.name.startswith((".", "state"))]
        wrong += [f"{name}: {', '.join(left)} left behind"] * bool(left)
        rows.append(((name, state.attempts, record.ledger), wrong))
    return rows


def _differences(record: Record, wanted: Record, state: JobState, since: float) -> list[str]:
    """What is wrong with a record, its ledger, and the attempts at it."""
    ledger, other = record.ledger, wanted.ledger
    assert ledger is not None and other is not None
    phases = ledger.phases.model_dump()
    lines, resumed = attempts(state.folder), _resumed(state.folder)
    marks = [point.training_time for point in ledger.evaluation_points]
    checks = {
        f"its status is {record.status}": record.status == "completed",
        "its metrics differ": record.metrics == wanted.metrics,
        f"it has {ledger.steps} steps": (ledger.steps, ledger.samples) == (other.steps, other.samples),
        "its phases do not sum to its total": abs(sum(phases.values()) - ledger.total_time) < 1e-6,
        "its training is not that of its phases": phases["training"] == ledger.training_time,
        "its total exceeds the time since it was submitted": ledger.total_time <= lines[-1]["at"] - since,
        "its evaluation points are out of order": marks == sorted(marks) and len(marks) == 4,
        f"it resumed {ledger.resumed} times, {resumed} times by its log": ledger.resumed == resumed,
    }
    return [what for what, holds in checks.items() if not holds]


def _resumed(folder: Path) -> int:
    """How many attempts took up a saved state, by the log."""
    return (folder / "log.txt").read_text(encoding="utf-8").count(": resuming from ")


if __name__ == "__main__":
    main()
