"""Jobs as processes of this machine, one per device: to try a submission out."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.machine.code import own_code
from benchmark.machine.devices import choose_device, device_count
from benchmark.records.jobs import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from benchmark.cluster.engine import Posted
    from benchmark.experiment.cluster_spec import ClusterSpec
    from benchmark.machine.interrupt import StopSignal

_PAUSE = 0.2


class Local:
    """Starts a process for each job, as many at a time as there are devices."""

    waits = True

    def check(self, cluster: ClusterSpec) -> None:
        """Refuses several machines."""
        if cluster.nodes > 1:
            raise UserError(f"cluster.nodes is {cluster.nodes}, but --on local has this machine alone; expected 1")
        if cluster.gpus:
            choose_device("cuda")

    def queued(self, ids: Collection[str]) -> set[str]:
        """None: jobs end with the command that waits for them, whose lock says that it is there."""
        return set()

    def failed(self, ids: Collection[str]) -> set[str]:
        """None: jobs say themselves how they ended."""
        return set()

    def start(
        self, posted: Sequence[Posted], cluster: ClusterSpec, stop_signal: StopSignal, tell: Callable[[], None]
    ) -> None:
        """Carries out jobs, and waits for them; one that was interrupted by somebody else is taken up again."""
        waiting = [folder for folder, _ in posted]
        running: dict[subprocess.Popen[bytes], Path] = {}
        parallel = cluster.parallel or max(1, device_count() // cluster.local_size)
        stopped = False
        while running or (waiting and not stop_signal.requested):
            while waiting and len(running) < parallel and not stop_signal.requested:
                folder = waiting.pop(0)
                running[_started(folder)] = folder
            if stop_signal.requested and not stopped:
                stopped = True
                for process in running:
                    process.terminate()
            for process in [process for process in running if process.poll() is not None]:
                folder = running.pop(process)
                if process.returncode == INTERRUPTED and not stopped:
                    waiting.append(folder)
            tell()
            time.sleep(_PAUSE)

    def cancel(self, ids: Collection[str]) -> None:
        """Nothing: the command that waits for the jobs is interrupted instead."""

    def script(self, posted: Sequence[Posted], cluster: ClusterSpec) -> str:
        """The command of each job."""
        return "".join(f"{shlex.join(_command(folder))}\n" for folder, _ in posted)


def _command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmark.cluster.attempt", str(folder)]


def _started(folder: Path) -> subprocess.Popen[bytes]:
    # A session of its own, so that Ctrl-C reaches it once, from here.
    return subprocess.Popen(_command(folder), env=own_code(), stderr=subprocess.DEVNULL, start_new_session=True)
