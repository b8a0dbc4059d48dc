"""A Slurm of two nodes on this machine, as an ordinary tree of processes on loopback; Debian's `slurm-wlm`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Two nodes with one core each on one host; each has a port of its own, and is a kind of its own.
_CONFIGURATION = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/%n
ReturnToService=2
KillWait=60
MinJobAge=600
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=1 RealMemory=4000 Feature=old
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=1 RealMemory=4000 Feature=new
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why no Slurm can be started here; empty where one can."""
    if find_spec("submitit") is None:
        return "submitit is not installed: pip install 'cnn-jepa-bench[slurm]'"
    if shutil.which("slurmctld") is None or shutil.which("slurmd") is None:
        return "no Slurm on this machine: apt-get install slurm-wlm"
    return "" if os.geteuid() == 0 else "the nodes of a Slurm without munge run as root"


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[None]:
    """Starts the cluster and makes this process use it."""
    (folder / "state").mkdir(parents=True)
    control, first, second = _free_ports(3)
    text = _CONFIGURATION.format(
        host=socket.gethostname().partition(".")[0], user="root", folder=folder, control=control, first=first,
        second=second,
    )  # fmt: skip
    (folder / "slurm.conf").write_text(text)
    with patch.dict(os.environ, {"SLURM_CONF": str(folder / "slurm.conf")}):
        yield from _served(folder)


def hurry() -> None:
    """Starts requeued jobs, which Slurm lets wait for two minutes.

    Not at once: for a second a node takes the job for the one that it has just ended, and the job fails.
    """
    listed = _output("squeue", "--noheader", "--array", "--states", "PENDING", "--format", "%i %V")
    for job, since in map(str.split, listed.splitlines()):
        if datetime.now() - datetime.fromisoformat(since) > timedelta(seconds=3):
            _output("scontrol", "update", f"jobid={job}", "StartTime=now")


def listed(*options: str) -> list[str]:
    """The ids of jobs that `squeue` lists."""
    return _output("squeue", "--noheader", "--array", "--format", "%i", *options).split()


def begun() -> dict[str, str]:
    """When each running job was started, the last time that it was; by id."""
    lines = _output("squeue", "--noheader", "--array", "--states", "RUNNING", "--format", "%i %S").splitlines()
    return dict(map(str.split, lines))


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _served(folder: Path) -> Iterator[None]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    commands = (["slurmctld", "-D"], ["slurmd", "-D", "-N", "n1"], ["slurmd", "-D", "-N", "n2"])
    daemons = [subprocess.Popen(command, start_new_session=True, **quiet) for command in commands]
    try:
        _wait_until_idle(folder)
        yield
    finally:
        subprocess.run(["scancel", "--user", "root"], check=False, **quiet)
        _wait_until_empty()
        for daemon in daemons[::-1]:
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()


def _wait_until_idle(folder: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if _output("sinfo", "--noheader", "--Node", "--format", "%T").split() == ["idle", "idle"]:
            return
        time.sleep(0.3)
    raise RuntimeError(f"Slurm did not start:\n{(folder / 'slurmctld.log').read_text()}")


def _wait_until_empty() -> None:
    """Waits until no job is left, whose processes would outlive the daemons."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if not _output("squeue", "--noheader").strip():
            return
        time.sleep(0.3)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
