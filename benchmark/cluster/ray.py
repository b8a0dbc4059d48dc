"""Jobs as tasks of a Ray cluster, one that is there or one started on this machine. Ray tries lost ones again."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from benchmark.cluster.attempt import carry_out
from benchmark.errors import UserError
from benchmark.machine.code import own_code
from benchmark.records.jobs import INTERRUPTED, read_job
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from benchmark.cluster.engine import Posted
    from benchmark.experiment.cluster_spec import ClusterSpec
    from benchmark.machine.interrupt import StopSignal

_ANSWER = 5.0  # seconds for a cluster's head to answer
_LOOK = 1.0  # seconds between two looks at the tasks


class InterruptedTaskError(Exception):
    """A task was told to save, and is to go on; Ray tries it again."""


def _attempt(folder: str) -> tuple[int, str]:
    """Carries a job out on a node; its exit code, and the node."""
    code = carry_out(Path(folder), attempt=ray.get_runtime_context().get_task_id())
    if code == INTERRUPTED:
        raise InterruptedTaskError(folder)
    return code, socket.gethostname()


class Ray:
    """A Ray cluster.

    Args:
        address: of one that is there; by default what RAY_ADDRESS or Ray itself names, else one on this machine.
    """

    waits = True

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    def check(self, cluster: ClusterSpec) -> None:
        """Refuses runs on several nodes, and an address where nothing answers: Ray would try it for minutes."""
        if cluster.nodes > 1:
            raise UserError(f"cluster.nodes is {cluster.nodes}, but a Ray task has one node; expected 1, or --on slurm")
        address = self._address or os.environ.get("RAY_ADDRESS", "")
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if not host or not port.isdecimal():  # such as `auto`; others Ray refuses at once
            return
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()
        except (OSError, OverflowError) as error:
            name = "--address" if self._address else "RAY_ADDRESS"
            raise UserError(
                f"{name} is '{address}', but nothing answers there ({error}); expected HOST:PORT of a Ray cluster's "
                "head, by default port 6379"
            ) from None

    def queued(self, ids: Collection[str]) -> set[str]:
        """None: tasks end with the command that waits for them, whose lock says that it is there."""
        return set()

    def failed(self, ids: Collection[str]) -> set[str]:
        """None: jobs say themselves how they ended."""
        return set()

    def start(
        self, posted: Sequence[Posted], cluster: ClusterSpec, stop_signal: StopSignal, tell: Callable[[], None]
    ) -> None:
        """Carries out jobs, and waits for them."""
        started = not ray.is_initialized()
        try:
            if started:
                # So that workers do not unpack a copy of this code, and find the same one as this process.
                os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
                ray.init(self._address, log_to_driver=False, logging_level="error", include_dashboard=None,
                         runtime_env={"env_vars": _paths()})  # fmt: skip
                stop_signal.renew()
            _check_resources(cluster)
        except (RayError, ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"--on ray: {first_line(error)}") from None
        try:
            _work([folder for folder, _ in posted], cluster, stop_signal, tell)
        finally:
            if started:
                ray.shutdown()

    def cancel(self, ids: Collection[str]) -> None:
        """Nothing: the command that waits for the jobs is interrupted instead."""

    def script(self, posted: Sequence[Posted], cluster: ClusterSpec) -> str:
        """What each task asks for and carries out."""
        asks = ", ".join(f"{name}={value}" for name, value in _asked(cluster).items())
        command = [sys.executable, "-m", "benchmark.cluster.attempt"]
        return "".join(f"# {asks}\n{shlex.join([*command, str(folder)])}\n" for folder, _ in posted)


def _work(folders: Sequence[Path], cluster: ClusterSpec, stop_signal: StopSignal, tell: Callable[[], None]) -> None:
    task: Any = ray.remote(max_retries=cluster.retries, retry_exceptions=[InterruptedTaskError], **_asked(cluster))(
        _attempt
    )
    waiting, cancelled = list(folders), False
    running: dict[Any, Path] = {}
    problems: list[str] = []
    while running or (waiting and not stop_signal.requested):
        while waiting and not stop_signal.requested and len(running) < (cluster.parallel or len(folders)):
            folder = waiting.pop(0)
            running[task.remote(str(folder))] = folder
        if stop_signal.requested and not cancelled:
            cancelled = True
            for reference in running:
                ray.cancel(reference, force=False)
        done, _ = ray.wait(list(running), timeout=_LOOK)
        for reference in done:
            folder = running.pop(reference)
            try:
                code, node = ray.get(reference)
                if code == 2 and not (folder / "attempts.jsonl").exists():
                    problems.append(f"{node} does not see {folder}; the results have to be on a disk that all see")
            except RayError as error:
                if not cancelled:
                    problems.append(f"{read_job(folder).name}: {first_line(error)}")
        tell()
    if problems:
        raise UserError("; ".join(dict.fromkeys(problems)))


def _asked(cluster: ClusterSpec) -> dict[str, Any]:
    """The resources of a task."""
    asked: dict[str, Any] = {"num_cpus": (cluster.cpus or 1) * cluster.local_size}
    if cluster.gpus:
        asked["num_gpus"] = cluster.gpus
    if cluster.memory is not None:
        asked["memory"] = int(cluster.memory * 2**30)
    return asked | ({"resources": dict(cluster.resources)} if cluster.resources else {})


def _check_resources(cluster: ClusterSpec) -> None:
    """Refuses a task for which no node is large enough; Ray would let it wait for ever."""
    asked = _asked(cluster)
    flat = {"GPU": asked.get("num_gpus", 0), "CPU": asked["num_cpus"], "memory": asked.get("memory", 0)}
    flat |= asked.get("resources", {})
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for name, amount in flat.items():
        most = max((node.get(name, 0) for node in nodes), default=0)
        if amount > most:
            raise UserError(f"each job asks for {amount:g} {name}, but no node has more than {most:g}")


def _paths() -> dict[str, str]:
    """Where workers find this code."""
    return {"PYTHONPATH": own_code()["PYTHONPATH"]}
