"""What a job asks a cluster for: `cluster:` of an experiment. Nothing here can change a result."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from benchmark.cost.budget import parse_duration
from methods.config import Config, Count, NonNegative, Positive


def _one_line(text: str) -> str:
    """A text that stands on a line of a script: what followed a break would be a line of its own."""
    if text.splitlines() != [text]:
        raise ValueError(f"is {text!r}; expected one line of text")
    return text


Line = Annotated[str, AfterValidator(_one_line)]


class ClusterSpec(Config):
    """What each job of `bench submit` asks for.

    Attributes:
        partition: Slurm's; by default the cluster's own default, as for the next two.
        account: that is charged.
        constraint: a feature that nodes need, for instance `a100`.
        time: limit of a job, for instance `4h`. A run that takes longer goes on in further jobs. By default from step
            costs where there are some, else four hours.
        notice: how long before that limit a job saves and is requeued.
        nodes: machines that share each batch of a run.
        gpus: GPUs per node; 0 trains on CPUs.
        tasks: processes per node that share each batch; by default one for each GPU.
        cpus: cores for each process; also its threads.
        memory: GB per node.
        exclusive: nobody else's jobs on the node.
        parallel: jobs at a time; on Slurm of each 500 that are submitted.
        retries: how often Ray tries a job again whose node was lost.
        resources: further resources that Ray has names for.
        sbatch: further options of Slurm's `sbatch`, for instance `{qos: low}`.
        setup: lines of shell before the job, for instance `module load cuda`.
        measured: features of the nodes on which `bench submit --cost` measures, one job for each; by default one job,
            on a node of `constraint`.
    """

    partition: Line | None = None
    account: Line | None = None
    constraint: Line | None = None
    time: Annotated[float, Field(ge=60.0)] | None = None
    notice: NonNegative = 120.0
    nodes: Count = 1
    gpus: Annotated[int, Field(ge=0)] = 0
    tasks: Count | None = None
    cpus: Count | None = None
    memory: Positive | None = None
    exclusive: bool = False
    parallel: Count | None = None
    retries: Annotated[int, Field(ge=0)] = 10
    resources: dict[str, Positive] = Field(default_factory=dict)
    sbatch: dict[Line, Line | int | bool] = Field(default_factory=dict)
    setup: tuple[str, ...] = ()
    measured: tuple[Line, ...] = ()

    @field_validator("time", "notice", mode="before")
    @classmethod
    def _as_seconds(cls, value: Any, info: ValidationInfo) -> Any:
        seconds = parse_duration(value) if isinstance(value, str) else value
        if info.field_name == "time" and isinstance(seconds, (int, float)) and seconds < 60:
            raise ValueError(f"is {seconds:g} seconds; expected at least 60, for instance 4h")
        return seconds

    @field_validator("memory", mode="before")
    @classmethod
    def _in_gigabytes(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"is {value!r}; expected a number of GB, for instance 32")
        return value

    @field_validator("sbatch")
    @classmethod
    def _not_ours(cls, value: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        for name in value:
            key = name.replace("-", "_")
            if key in _OWN:
                raise ValueError(f"'{name}' is set by cluster.{_OWN[key]}")
            if key in ("array", "signal", "output", "error", "open_mode", "requeue", "no_requeue", "wrap"):
                raise ValueError(f"'{name}' is set by bench submit itself")
        return value

    @model_validator(mode="after")
    def _saves_in_time(self) -> ClusterSpec:
        if self.time is not None and self.notice >= self.time:
            raise ValueError(f"notice is {self.notice:g} s, but time is {self.time:g} s; a job would save at its start")
        return self

    @property
    def local_size(self) -> int:
        """Processes of a run on each node."""
        return self.tasks or max(1, self.gpus)

    @property
    def size(self) -> int:
        """Processes that share each batch of a run."""
        return self.nodes * self.local_size


_OWN = {
    "partition": "partition",
    "account": "account",
    "constraint": "constraint",
    "time": "time",
    "nodes": "nodes",
    "gpus_per_node": "gpus",
    "gpus": "gpus",
    "gpus_per_task": "gpus",
    "gres": "gpus",
    "ntasks": "tasks",
    "ntasks_per_node": "tasks",
    "cpus_per_task": "cpus",
    "mem": "memory",
    "exclusive": "exclusive",
}
