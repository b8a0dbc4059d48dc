"""Carries out stages: each in a process of its own, which is killed at its limit; none ends the others.

In a dry run on a CPU they share this process: importing what a stage needs takes longer than the stage.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.__main__ import main
from stages.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stages.plan import Stage

PERF = Path(__file__).parents[1]
COMPILED = "compiled"  # folder of results
_LEAST = 5.0  # seconds; with less, a stage is not begun
_MARGIN = 0.1  # share of its limit before which a stage is to end by itself
_GRACE = 15.0  # seconds in which an interrupted stage saves what it has


@dataclass(frozen=True)
class Plan:
    """What all stages of a call have in common.

    Attributes:
        device: `cuda` or `cpu`.
        cards: CUDA devices that are visible; 0 on a CPU.
        out: the folder of results.
        identity: what the results depend on: the device's name, versions, the code, and whether it is a dry run.
        total: seconds of all stages together.
        paths: folders of packages that are not installed.
    """

    device: str
    cards: int
    tiny: bool
    data: Path | None
    out: Path
    identity: dict[str, Any]
    total: float
    paths: tuple[Path, ...] = ()

    def results(self, stage: Stage) -> Results:
        """A stage's results so far."""
        return Results(self.out / f"{stage.name}.json", stage.name, self.identity)


def carry_out(stages: Sequence[Stage], plan: Plan, say: Callable[[str], None]) -> bool:
    """Carries out the stages that are not done; whether none of them failed.

    Raises:
        KeyboardInterrupt: the user interrupted; what was measured is kept.
    """
    end, good = time.monotonic() + plan.total, True
    for stage in stages:
        results = plan.results(stage)
        if results.status == "done" and not stage.takes_rest:
            say(f"== {stage.name}: measured already")
            continue
        left = end - time.monotonic()
        limit = stage.limit(left, tiny=plan.tiny)
        missing = stage.missing()
        if results.status == "done" and (missing or limit < _LEAST):
            say(f"== {stage.name}: measured already, and nothing is added")
            continue
        if missing:
            results.end("missing packages", ", ".join(missing))
        elif plan.device == "cuda" and plan.cards < stage.cards:
            results.end("skipped", f"needs {stage.cards} CUDA devices, {plan.cards} visible")
        elif limit < _LEAST:
            results.end("unfinished", "no time was left")
        else:
            say(f"== {stage.name}: {limit:.0f} s at most")
            results = _run(stage, plan, limit)
        reason = f": {results.data['reason']}" if results.data["reason"] else ""
        say(f"== {stage.name}: {results.status}{reason}")
        good &= results.status in ("done", "skipped", "unfinished")
    return good


def _run(stage: Stage, plan: Plan, limit: float) -> Results:
    """Runs a stage's process to its end or to the limit, and says in its file how it ended."""
    results = plan.results(stage)
    results.begin()
    start = time.monotonic()
    if plan.tiny and plan.device == "cpu":
        return _run_here(stage, plan, limit, start)
    # A session of its own, so that whatever the stage starts ends with it.
    command = [sys.executable, "-m", "stages", *_arguments(stage, plan, limit)]
    process = subprocess.Popen(command, env=environment(plan), start_new_session=True)
    try:
        code: int | None = process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        code = None
    except KeyboardInterrupt:
        _signal(process, signal.SIGINT)
        _wait(process, _GRACE)
        plan.results(stage).end("unfinished", "interrupted", time.monotonic() - start)
        raise
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()
    seconds = time.monotonic() - start
    results = plan.results(stage)  # as its process left it
    if code is None:
        results.end("unfinished", f"stopped at its limit of {limit:.0f} s", seconds)
    elif results.status == "running" or (code and results.status != "failed"):
        results.end("failed", f"its process ended with code {code}", seconds)
    else:
        results.end(results.status, results.data["reason"], seconds)
    return results


def _run_here(stage: Stage, plan: Plan, limit: float, start: float) -> Results:
    """Runs a stage of a dry run in this process, where nothing but itself ends it at its limit."""
    os.environ.update(environment(plan))  # for what it starts
    try:
        main(_arguments(stage, plan, limit))
    except KeyboardInterrupt:
        plan.results(stage).end("unfinished", "interrupted", time.monotonic() - start)
        raise
    results = plan.results(stage)
    results.end(results.status, results.data["reason"], time.monotonic() - start)
    return results


def _arguments(stage: Stage, plan: Plan, limit: float) -> list[str]:
    arguments = [stage.module or f"stages.{stage.name}"]
    arguments += ["--results", str(plan.out / f"{stage.name}.json"), "--device", plan.device]
    arguments += ["--seconds", f"{limit * (1 - _MARGIN):.1f}"]
    arguments += ["--tiny"] if plan.tiny else []
    return arguments + ([] if plan.data is None else ["--data", str(plan.data)])


def environment(plan: Plan) -> dict[str, str]:
    """The environment of a stage's process: this code, these scripts, and packages that are not installed.

    What torch compiles is kept beside the results: it takes minutes, which the next stay then has for measuring.
    """
    folders = [str(PERF.parent), str(PERF), *map(str, plan.paths)]
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path not in folders]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*folders, *others]),
        "PYTHONUNBUFFERED": "1",
        "TORCHINDUCTOR_CACHE_DIR": str((plan.out / COMPILED).resolve()),
    }


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
