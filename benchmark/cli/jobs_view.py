"""Jobs on the terminal: how they stand, and what they would ask for."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from benchmark.cli.console import plain_console
from benchmark.records.jobs import STATES, job_state
from benchmark.records.study import STUDY_FILE, read_study
from benchmark.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmark.cluster.requested import PlannedJob
    from benchmark.experiment.cluster_spec import ClusterSpec
    from benchmark.records.jobs import JobState

_EVERY = 10.0  # seconds between two lines of a submission that waits


class Progress:
    """Says how jobs stand, whenever that has changed and at most every few seconds."""

    def __init__(self, say: Callable[[str], None], every: float = _EVERY) -> None:
        self._say, self._every = say, every
        self._last, self._since = "", 0.0

    def tell(self, folders: Sequence[Path]) -> None:
        """Looks at jobs, and says how they stand."""
        if time.monotonic() - self._since < self._every:
            return
        self._since = time.monotonic()
        text = summary([job_state(folder) for folder in folders])
        if text != self._last:
            self._say(text)
        self._last = text


def summary(states: Sequence[JobState]) -> str:
    """Such as `3 of 6 jobs done, 2 running, 1 waiting`."""
    counts = Counter(state.state for state in states)
    others = [f"{counts[name]} {name}" for name in STATES[1:] if counts[name]]
    return ", ".join([f"{counts['done']} of {len(states)} jobs done", *others])


def print_status(states: Sequence[JobState], results: Sequence[Path]) -> None:
    """A row for each job, the logs of those that failed, and the trials of sweeps."""
    table = Table(box=SIMPLE_HEAD)
    for name in ("job", "state", "progress", "left", "attempts", ""):
        table.add_column(name, justify="right" if name in ("progress", "left", "attempts") else "left", overflow="fold")
    for state in states:
        progress = "" if state.progress is None else f"{state.progress:.0%}"
        left = duration(state.left) if state.state == "running" else ""
        where = f"on {state.where}" if state.where else ""
        doing = ", ".join(filter(None, (where, state.reason)))
        table.add_row(*map(escape, (state.job.name, state.state, progress, left, str(state.attempts), doing)))
    console = plain_console()
    console.print(table)
    for state in states:
        if state.state == "failed" and state.log.is_file():  # one that could not begin has none
            console.print(escape(f"{state.job.name}: {state.log}"), style="red", soft_wrap=True, highlight=False)
    for root in results:
        for path in sorted(root.rglob(STUDY_FILE)):
            console.print(escape(_trials(path)), soft_wrap=True, highlight=False)
    console.print(escape(summary(states)), soft_wrap=True, highlight=False)


def _trials(path: Path) -> str:
    record = read_study(path)
    outcomes = [trial.state for study in record.studies for trial in study.trials]
    counts = Counter(outcomes)
    return f"{record.name}: trials: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def print_plan(planned: Sequence[PlannedJob], missing: Sequence[bool], cluster: ClusterSpec) -> None:
    """The jobs that would be submitted, their time limits and device-hours."""
    table = Table(box=SIMPLE_HEAD)
    for name in ("job", "training", "limit of a job", "device-hours", "by"):
        table.add_column(name, justify="left" if name in ("job", "by") else "right")
    wanted = [plan for plan, is_missing in zip(planned, missing, strict=True) if is_missing]
    for plan in wanted:
        spec, hours = plan.spec, plan.device_hours
        training = "-" if plan.training is None else duration(plan.training)
        shown = "-" if hours is None else f"{hours:.2g}"
        label = f"{spec.entry.name}, seed {spec.seed}, {spec.budget}"
        table.add_row(*map(escape, (label, training, duration(plan.requested), shown, plan.source)))
    console = plain_console()
    console.print(table)
    known = [plan.device_hours for plan in wanted if plan.device_hours is not None]
    each = f"{cluster.nodes} x {cluster.local_size} processes" if cluster.size > 1 else "one process"
    text = f"{len(wanted)} of {len(planned)} jobs to submit, {each} each, {sum(known):.3g} device-hours of training"
    if len(known) < len(wanted):
        text += f" without {len(wanted) - len(known)} that have no step cost: bench submit --cost measures them"
    console.print(escape(text), soft_wrap=True, highlight=False)
