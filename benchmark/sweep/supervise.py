"""The caller's side of a run in a process of its own: starts it, answers it, stops it, reads what it left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import benchmark
from benchmark.errors import UserError
from benchmark.records.folder import read_record
from benchmark.records.study import RunOutcome
from benchmark.sweep.job import GIVE_UP, GO, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.records.schema import Record

_TAIL = 400  # characters of a crashed run's last words


class StoppedError(Exception):
    """The user wants to stop; the run's state is saved."""


class RunFailedError(Exception):
    """A run ended without scores, for a reason that its record or its last words name."""


class Supervisor:
    """Carries out one run after the other, each in a process of its own, and passes the wish to stop on to it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.stopping = False

    def stop(self) -> None:
        """From now on nothing is begun, and what is under way saves its state and ends."""
        self.stopping = True
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)

    def is_stopping(self) -> bool:
        """Whether the user wants to stop; a signal may change that at any moment."""
        return self.stopping

    def run(self, job: Job, tell: Callable[[dict[str, Any]], None], judge: Callable[[float, float], bool]) -> Path:
        """The folder of a run that has its record.

        Args:
            job: the run.
            tell: told each message.
            judge: told progress and validation kNN at an evaluation point; whether the run is to be given up.

        Raises:
            UserError: what the run says the user can mend.
            StoppedError: it was stopped before its end.
            RunFailedError: its process ended without a record.
        """
        if self.is_stopping():
            raise StoppedError
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
            with _started(errors) as process:
                self._process = process
                try:
                    if self.is_stopping():  # since it was asked above
                        process.send_signal(signal.SIGINT)
                    last = _converse(process, job, tell, judge)
                    code = process.wait()
                finally:
                    self._process = None
                    process.kill()
            if last.get("kind") == "ended":
                return Path(str(last["folder"]))
            if last.get("kind") == "refused":
                raise UserError(str(last["message"]))
            if self.is_stopping():
                raise StoppedError
            raise RunFailedError(f"the run's process ended with code {code}{_last_words(errors)}")


def own_code() -> dict[str, str]:
    """The environment of a process that runs this very code, whatever else is installed or lies in the folder."""
    root = str(Path(benchmark.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _started(errors: IO[str]) -> subprocess.Popen[str]:
    """The run's process, out of reach of the terminal's Ctrl-C."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark.sweep.job"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        encoding="utf-8",
        env=own_code(),
        start_new_session=True,
    )


def _converse(
    process: subprocess.Popen[str],
    job: Job,
    tell: Callable[[dict[str, Any]], None],
    judge: Callable[[float, float], bool],
) -> dict[str, Any]:
    """Hands the job over and answers until the process falls silent; its last message."""
    assert process.stdin is not None and process.stdout is not None
    last: dict[str, Any] = {}
    _send(process.stdin, job.model_dump_json())
    for line in process.stdout:
        last = json.loads(line)
        if last["kind"] == "evaluation":
            _send(process.stdin, GIVE_UP if judge(last["progress"], last["knn20"]) else GO)
        else:
            tell(last)
    return last


def _send(stream: IO[str], line: str) -> None:
    """Writes a line; where the process has died, what it said before is still to be read."""
    try:
        stream.write(line + "\n")
        stream.flush()
    except OSError:
        with suppress(OSError):
            stream.close()


def _last_words(errors: IO[str]) -> str:
    errors.seek(0)
    lines = [line for line in errors.read().splitlines() if line.strip()]
    return f": {lines[-1].strip()[:_TAIL]}" if lines else ""


def outcome(folder: Path, study_folder: Path) -> tuple[RunOutcome, Record]:
    """What a run left, in short, and its record.

    Args:
        folder: of the run.
        study_folder: what the record's path is relative to.
    """
    record = read_record(folder / "record.json")
    linear = knn = None
    if record.trial_metrics is not None:
        linear, knn = record.trial_metrics.scores.linear_top1, record.trial_metrics.scores.knn20
    elif record.metrics is not None:  # a result's kNN is the test split's
        linear = record.metrics.scores.linear_validation_top1
    ledger = record.ledger
    found = RunOutcome(
        seed=record.seed,
        key=record.key,
        status=record.status,
        linear_top1=linear,
        knn20=knn,
        device_hours=ledger.device_hours if ledger else 0.0,
        total_hours=ledger.total_time * max(1, ledger.devices) / 3600 if ledger else 0.0,
        flags=record.flags,
        record=Path(os.path.relpath(folder / "record.json", study_folder)).as_posix(),
        curve=_curve(folder),
    )
    return found, record


def _curve(folder: Path) -> list[tuple[float, float, float]]:
    """Progress, linear top-1 and kNN-20 at the evaluation points; pruned runs have theirs in the history alone."""
    path = folder / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    return [(one["progress"], one["linear_top1"], one["knn20"]) for one in lines if one["kind"] == "evaluation"]
