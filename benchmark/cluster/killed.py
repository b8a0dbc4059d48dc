"""What the batch script of a Slurm job does where the job's process was killed, and could not say so itself.

A signal that came before the process could listen asked it to save: nothing has begun, and it is requeued. Any other
one, such as SIGKILL for using too much memory, is written down as the reason of a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmark.cluster.attempt import killed
from benchmark.machine.code import output
from benchmark.machine.interrupt import SIGNALS
from benchmark.records.jobs import INTERRUPTED, attempts, job_states, note


def own_id() -> str:
    """Slurm's name for this job, as `sbatch` told it.

    Not `SLURM_JOB_ID`: that of an array's last task is the array's, and stands for all its tasks.
    """
    words = map(os.environ.get, ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"))
    return "_".join(filter(None, words)) or os.environ["SLURM_JOB_ID"]


def slurm_state() -> str:
    """What Slurm says of this job: RUNNING, CANCELLED, COMPLETING and others; empty where it says nothing."""
    text = output(["scontrol", "--oneliner", "show", "job", own_id()]) or ""
    words = dict(word.partition("=")[::2] for word in text.split())
    return words.get("JobState", "")


def settle(results: Path, number: int) -> None:
    """Requeues a job that signal `number` has killed, or says that it has failed.

    Args:
        results: where its folder is, at any depth.
    """
    if slurm_state() != "RUNNING":  # Slurm itself ends it, or requeues it
        return
    if number in SIGNALS:
        subprocess.run(["scontrol", "requeue", own_id()], check=True, timeout=60)
        return
    for state in job_states([results])[0]:
        last = attempts(state.folder)[-1:]
        said = bool(last) and last[0].get("code") not in (None, INTERRUPTED)
        if state.job.id == own_id() and not said:
            note(state.folder, "ended", code=-number, reason=killed(number))


def main() -> None:
    """`python -m benchmark.cluster.killed RESULTS EXIT_CODE`: a shell adds 128 to the number of a signal."""
    settle(Path(sys.argv[1]), int(sys.argv[2]) - 128)


if __name__ == "__main__":
    main()
