"""One attempt at a job, on the machine that an engine chose: starts `bench`, waits for it, and writes down how it went.

`bench` is a process of its own, so that what kills it, such as a memory limit, leaves somebody to say so.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.machine.code import own_code, versions_here
from benchmark.machine.interrupt import SIGNALS
from benchmark.records.heartbeat import BEAT, GRACE, holder
from benchmark.records.jobs import ELSEWHERE, INTERRUPTED, JobRecord, note, read_job
from benchmark.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger(__name__)  # without a handler, on standard error: the engine keeps it
_PATIENCE = 3 * GRACE  # seconds for the claim of a dead job to be seen as such
_PAUSE = 1.0
_OWN_JOB = ("run", "sweep")  # commands that report to their job's folder
_TAIL = 4096  # bytes of a log in which its last line is looked for


def carry_out(folder: Path, *, attempt: str = "", pass_on: bool = True, first: bool = True) -> int:
    """Carries out a job; its exit code, `INTERRUPTED` where it has saved and is to go on.

    Args:
        attempt: the engine's name for this attempt.
        pass_on: whether a signal ends `bench`, too; an engine may send it to all processes of a job itself.
        first: of several processes that share a run, the one that writes.
    """
    with _Signals(pass_on=pass_on) as signals:
        try:
            job = read_job(folder)
            if first:
                note(folder, "started", machine=_node(), attempt=attempt)
        except (UserError, OSError) as error:
            _LOG.error("error: %s", error)
            return 2
        with _signs_of_life(folder if first else None):
            code, reason = _try(folder, job, signals, first=first)
        if reason:
            _LOG.error("error: %s", reason)
        if first:
            try:
                note(folder, "ended", code=code, reason=reason)
            except OSError as error:
                _LOG.error("error: %s: cannot be written (%s)", folder, error)
        return code


class _Signals:
    """Catches signals for as long as an attempt takes, in the main thread.

    Attributes:
        received: whether there was one.
        process: that is told as well; None while there is none.
    """

    def __init__(self, *, pass_on: bool) -> None:
        self.received = False
        self.process: subprocess.Popen[bytes] | None = None
        self._pass_on = pass_on
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        self.received = True
        if self._pass_on and self.process is not None:
            # Not by the same signal: Ray starts its workers with SIGINT blocked, and what they start inherits that.
            self.process.terminate()


def _try(folder: Path, job: JobRecord, signals: _Signals, *, first: bool) -> tuple[int, str]:
    """The exit code of `bench`, and in words why it failed."""
    here = versions_here()
    if job.code and job.code != here:
        name = next(name for name in {**job.code, **here} if job.code.get(name) != here.get(name))
        reason = (
            f"{_node()} has {name} {here.get(name, 'not at all')}, the job was submitted with "
            f"{job.code.get(name, 'none')}; install the same on all nodes, or submit again"
        )
        return 2, _logged(folder, reason)
    end = time.monotonic() + _PATIENCE
    while True:
        if first and job.target and job.kind == "run":
            while (elsewhere := holder(folder / job.target)) and time.monotonic() < end and not signals.received:
                time.sleep(_PAUSE)
            if elsewhere and not signals.received:
                return ELSEWHERE, f"{elsewhere} is at this run"
        code = INTERRUPTED if signals.received else _bench(folder, job, signals)
        if code != ELSEWHERE or time.monotonic() >= end:
            break
        time.sleep(_PAUSE)
    return code, "" if code in (0, INTERRUPTED) else _reason(folder, code)


def _bench(folder: Path, job: JobRecord, signals: _Signals) -> int:
    """Runs `bench`, its output added to the job's log; the exit code, `INTERRUPTED` for any end after a signal."""
    command = [sys.executable, "-m", "benchmark", *job.arguments]
    command += ["--devices", str(job.devices)] * (job.devices > 1)
    command += ["--job", str(folder)] * (job.arguments[0] in _OWN_JOB)
    environment = own_code()
    if job.threads is not None:
        environment["OMP_NUM_THREADS"] = str(job.threads)
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env=environment)  # fmt: skip
        signals.process = process
        try:
            if signals.received:  # while it was being started
                process.terminate()
            while (code := _ended(process)) is None:  # so that an engine's exceptions are not kept waiting
                pass
        finally:  # an exception, such as Ray's of a task that is cancelled
            signals.process = None
            if process.poll() is None:
                process.terminate()
                process.wait()
    # Before `bench` catches signals they end it, with nothing lost.
    return INTERRUPTED if signals.received and -code in SIGNALS else code


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_PAUSE)
    except subprocess.TimeoutExpired:
        return None


@contextmanager
def _signs_of_life(folder: Path | None) -> Iterator[None]:
    """Touches the job's `alive` from time to time."""
    ended = threading.Event()

    def touch() -> None:
        while folder is not None:
            with suppress(OSError):
                (folder / "alive").touch()
            if ended.wait(BEAT):
                return

    threading.Thread(target=touch, name="alive", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _node() -> str:
    """This machine's name, as its cluster knows it."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _logged(folder: Path, reason: str) -> str:
    """A reason that `bench` did not write to the log itself."""
    with suppress(OSError), (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"error: {reason}\n")
    return reason


def killed(number: int) -> str:
    """Why a process ended that a signal has killed."""
    if number == signal.SIGKILL:
        return "killed (SIGKILL), most likely for using more memory than it may: raise cluster.memory"
    return f"killed ({signal.Signals(number).name})"


def _reason(folder: Path, code: int) -> str:
    """Why `bench` failed, in a line."""
    if code < 0:
        return _logged(folder, killed(-code))
    with suppress(OSError):
        with (folder / "log.txt").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        for line in reversed(errors or lines):
            return on_one_line(line.removeprefix("error: ")).strip()
    return f"exit code {code}"


def main() -> None:
    """`python -m benchmark.cluster.attempt FOLDER`."""
    raise SystemExit(carry_out(Path(sys.argv[1]), attempt=str(os.getpid())))


if __name__ == "__main__":
    main()
