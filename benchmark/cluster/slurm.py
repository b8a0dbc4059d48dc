"""Jobs on Slurm, as job arrays through submitit, which also requeues a job that has saved before its time limit."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from benchmark.cluster import killed
from benchmark.cluster.attempt import carry_out
from benchmark.cluster.killed import own_id, slurm_state
from benchmark.errors import UserError
from benchmark.records.jobs import CANCEL, ELSEWHERE, INTERRUPTED, note, write_job
from benchmark.text import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from benchmark.cluster.engine import Posted
    from benchmark.experiment.cluster_spec import ClusterSpec
    from benchmark.machine.interrupt import StopSignal

_MOST = 500  # jobs of an array; clusters allow 1000 by default
_PROGRAMS = ("sbatch", "srun", "squeue", "scancel", "scontrol")
_REQUEUES = 1_000_000  # a run may take any number of jobs
_FILES = "slurm"  # the folder of what submitit writes, below that of the jobs


class SlurmJob:
    """What submitit starts on a node, in each task of a job."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self) -> None:
        """Carries the job out. One that was told to save is requeued, unless Slurm itself has ended or requeued it."""
        first = os.environ.get("SLURM_PROCID", "0") == "0"
        handler = signal.getsignal(signal.SIGUSR2)  # submitit's, which requeues
        # Slurm sends a signal to every process of a job, so that it need not be passed on.
        code = carry_out(Path(self.folder), attempt=own_id(), pass_on=False, first=first)
        if code == INTERRUPTED and first:
            state = slurm_state()
            if state == "CANCELLED":
                note(Path(self.folder), "cancelled")
            elif (Path(self.folder) / CANCEL).exists():
                return
            elif state == "RUNNING" and callable(handler):
                handler(signal.SIGUSR2, None)
        elif code not in (0, INTERRUPTED, ELSEWHERE):
            raise SystemExit(abs(code))  # so that Slurm calls it failed, too

    def checkpoint(self) -> Any:
        """What the requeued job does: the same."""
        return submitit.helpers.DelayedSubmission(SlurmJob(self.folder))


class Slurm:
    """Slurm's own programs, through submitit."""

    waits = False

    def check(self, cluster: ClusterSpec) -> None:
        """Refuses a machine without Slurm."""
        missing = [name for name in _PROGRAMS if shutil.which(name) is None]
        if missing:
            raise UserError(
                f"--on slurm: no Slurm on this machine ({missing[0]} is not found); submit from a login node of the "
                "cluster"
            )

    def queued(self, ids: Collection[str]) -> set[str]:
        """Those of its jobs that have not ended."""
        return set(ids) & _listed()

    def failed(self, ids: Collection[str]) -> set[str]:
        """Those of its jobs that it calls failed; it forgets them after some minutes."""
        return set(ids) & _listed("--states", "FAILED,NODE_FAIL,BOOT_FAIL,OUT_OF_MEMORY")

    def start(
        self, posted: Sequence[Posted], cluster: ClusterSpec, stop_signal: StopSignal, tell: Callable[[], None]
    ) -> None:
        """Submits an array of jobs for each time limit."""
        for part in _arrays(posted, cluster):
            executor = _executor(part, cluster)
            try:
                with redirect_stderr(io.StringIO()), executor.batch():  # the error says it once
                    handles = [executor.submit(SlurmJob(str(folder))) for folder, _ in part]
            except (FailedJobError, FailedSubmissionError, OSError, subprocess.SubprocessError) as error:
                raise UserError(f"Slurm refused the jobs: {_message(error)}") from None
            for (folder, job), handle in zip(part, handles, strict=True):
                write_job(folder, job.model_copy(update={"id": str(handle.job_id)}))

    def cancel(self, ids: Collection[str]) -> None:
        """Ends jobs; Slurm lets them save."""
        try:
            subprocess.run(["scancel", *ids], capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError(f"scancel failed: {_message(error)}") from None

    def script(self, posted: Sequence[Posted], cluster: ClusterSpec) -> str:
        """The scripts for `sbatch`."""
        texts = []
        for part in _arrays(posted, cluster):
            executor = _executor(part, cluster)
            if len(part) > 1:
                executor.parameters["map_count"] = len(part)
            texts.append(executor._make_submission_file_text(executor._submitit_command_str, ""))
        return "\n".join(texts)


def _listed(*options: str) -> set[str]:
    """The ids that `squeue` lists."""
    command = ["squeue", "--noheader", "--array", "--format", "%i", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"squeue failed: {_message(error)}") from None
    return set(done.stdout.split())


def _arrays(posted: Sequence[Posted], cluster: ClusterSpec) -> list[list[Posted]]:
    """Jobs that can share an array, which has one time limit and one constraint.

    Slurm limits the jobs at a time of an array alone: those that are limited together share the longest time limit.
    """

    def alike(one: Posted) -> tuple[int, str]:
        return 0 if cluster.parallel else _minutes(one), one[1].constraint or ""

    groups = [list(group) for _, group in groupby(sorted(posted, key=alike), alike)]
    return [group[start : start + _MOST] for group in groups for start in range(0, len(group), _MOST)]


def _minutes(one: Posted) -> int:
    return max(1, ceil((one[1].requested or 0.0) / 60))


def _executor(part: Sequence[Posted], cluster: ClusterSpec) -> submitit.SlurmExecutor:
    folder, job = part[0]
    executor = submitit.SlurmExecutor(folder.parent / _FILES, max_num_timeout=_REQUEUES)
    parameters: dict[str, Any] = {
        "job_name": "bench",
        "partition": cluster.partition,
        "account": cluster.account,
        "constraint": job.constraint or cluster.constraint,
        "time": max(map(_minutes, part)),
        "signal_delay_s": int(cluster.notice),
        "nodes": cluster.nodes,
        "ntasks_per_node": cluster.local_size,
        "gpus_per_node": cluster.gpus or None,
        "cpus_per_task": cluster.cpus,
        "mem": None if cluster.memory is None else f"{ceil(cluster.memory * 1024)}M",
        "exclusive": cluster.exclusive or None,
        "setup": list(cluster.setup) or None,
        "teardown": _teardown(folder.parent.parent),
        "stderr_to_stdout": True,
        # Spelt as submitit does, whose own settings such as the job's name these replace.
        "additional_parameters": {"requeue": True, **{k.replace("-", "_"): v for k, v in cluster.sbatch.items()}},
    }
    if cluster.parallel:
        parameters["array_parallelism"] = cluster.parallel
    executor.update_parameters(**{name: value for name, value in parameters.items() if value is not None})
    return executor


def _teardown(results: Path) -> list[str]:
    """What the batch script does after the job's process: exit codes from 129 to 192 are of signals that killed it."""
    command = shlex.join([sys.executable, "-m", killed.__name__, str(results)])
    return ["code=$?", f"if [ $code -gt 128 ] && [ $code -lt 193 ]; then {command} $code; fi", "exit $code"]


def _message(error: BaseException) -> str:
    """Slurm's own words."""
    texts = [str(getattr(error, "stderr", "") or ""), str(error), str(error.__cause__ or "")]
    lines = [line for text in texts for line in text.splitlines()]
    said = [line.partition("error: ")[2].strip() for line in lines if "error: " in line]
    return said[-1] if said else first_line(error)
