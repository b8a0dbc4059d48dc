"""One run in a process of its own: a job comes in by stdin, what happens goes out by stdout, a JSON object a line.

With a pruner, each evaluation point is put to the caller, whose answer comes in by stdin.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from benchmark.data.datasets import load_dataset
from benchmark.errors import Interrupted, UserError
from benchmark.experiment.run_spec import check_batch, plan_runs, resolve_entries, resolve_precision
from benchmark.experiment.spec import validate_experiment
from benchmark.machine.devices import choose_device, take_device
from benchmark.machine.interrupt import StopSignal
from benchmark.machine.locks import DeviceInUseError, DeviceLock
from benchmark.machine.ranks import Ranks
from benchmark.records.folder import run_folder
from benchmark.records.schema import Purpose, Record
from benchmark.runs.runner import Options, RunContext
from methods.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.runs.estimate import Estimate

_PAUSE = 0.5  # seconds between two looks at a device or a folder that another process has

GO, GIVE_UP = "go", "give up"


class Job(Config):
    """A run, fully described.

    Attributes:
        experiment: raw data of an experiment with one entry, one seed and one limit.
        source: the experiment's file; recipes may lie beside it.
        out: the results folder.
        data: folder of the dataset's files.
        device: as for `bench run`.
        share: use it beside others.
        purpose: whether the run is tested.
        tags: of the record.
        judged: whether the caller answers at each evaluation point.
        parent: the caller's process; the run stops where it has ended.
    """

    experiment: dict[str, Any]
    source: str
    out: str
    data: str | None = None
    device: str = "auto"
    share: bool = False
    purpose: Purpose = "trial"
    tags: tuple[str, ...] = ()
    judged: bool = False
    parent: int


class _Channel:
    """Tells the caller what happens; the `Reporter` of the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def tell(self, kind: str, **content: Any) -> None:
        """A message; a caller that is gone is noticed elsewhere."""
        with suppress(OSError):
            self._stream.write(json.dumps({"kind": kind, **content}) + "\n")
            self._stream.flush()

    def judge(self, scores: Mapping[str, float]) -> bool:
        """Whether the caller gives the run up."""
        self.tell("evaluation", progress=scores["progress"], knn20=scores["knn20"])
        return sys.stdin.readline().strip() == GIVE_UP

    def planned(self, estimates: list[Estimate], *, whole: bool) -> None:
        """Nothing is tried out before a trial."""

    def run_started(self, plan: RunSpec, position: int, total: int, resumed_at: float | None) -> None:
        """The run begins, or goes on."""
        self.tell("started", resumed_at=resumed_at)

    def run_advanced(self, progress: float, loss: float, images_per_second: float | None, remaining: float) -> None:
        """The run has come so far."""
        self.tell("advanced", progress=progress, remaining=remaining)

    def run_ended(self, record: Record) -> None:
        """The record's place is told by `main`."""

    def say(self, text: str) -> None:
        """A line for the user."""
        self.tell("said", text=text)

    def data_progress(self, done: int, total: int) -> None:
        """Reading images for one run among many is not worth a line."""


def main() -> int:
    """Carries out the job on stdin. Exit codes: 0 there is a record, 2 bad input, 130 interrupted."""
    # Whatever libraries print goes to stderr, so that stdout holds messages alone.
    channel = _Channel(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    job = Job.model_validate_json(sys.stdin.readline())
    try:
        with StopSignal(lambda text: None, parent=job.parent) as stop_signal:
            folder = _carry_out(job, channel, stop_signal)
    except UserError as error:
        channel.tell("refused", message=str(error))
        return 2
    except (Interrupted, KeyboardInterrupt):
        return 130
    channel.tell("ended", folder=str(folder))
    return 0


def _carry_out(job: Job, channel: _Channel, stop_signal: StopSignal) -> Path:
    """The folder in which the run's record lies."""
    choose_device(job.device)
    experiment = validate_experiment(job.experiment, job.source)
    entries = resolve_entries(experiment, Path(job.source))
    dataset = load_dataset(experiment.dataset, Path(job.data) if job.data else None, False)
    options = Options(out=Path(job.out), device=job.device, share=job.share)
    with ExitStack() as stack:
        device, lock = _wait_for_device(job, stack, channel, stop_signal)
        experiment = resolve_precision(experiment, device)
        (plan,) = plan_runs(experiment, entries, dataset.image_size)
        check_batch(experiment, [plan], dataset)
        plan = replace(plan, purpose=job.purpose, tags=job.tags)
        judge = {"judge": channel.judge} if job.judged else {}
        bench = RunContext(dataset, options, Ranks(device), [lock], channel, stop_signal, **judge)
        while bench.do(plan, (1, 1)) is None:  # another process is at it; its outcome is ours
            _pause(stop_signal)
    return _folder(options, plan, dataset)


def _wait_for_device(
    job: Job, stack: ExitStack, channel: _Channel, stop_signal: StopSignal
) -> tuple[torch.device, DeviceLock]:
    """Takes a device as soon as one is free."""
    told = False
    while True:
        try:
            return stack.enter_context(take_device(job.device, share=job.share))
        except DeviceInUseError:
            if not told:
                channel.say("waiting for a device that another run uses")
            told = True
            _pause(stop_signal)


def _pause(stop_signal: StopSignal) -> None:
    if stop_signal.requested:
        raise Interrupted
    time.sleep(_PAUSE)


def _folder(options: Options, plan: RunSpec, dataset: Dataset) -> Path:
    key = plan.key(dataset.manifest.digest)
    return run_folder(options.out, plan.experiment.name, plan.entry.name, plan.seed, key)


if __name__ == "__main__":
    sys.exit(main())
