"""The options of `bench submit`, as its jobs have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.cli.request import RunRequest, given
from benchmark.errors import UserError
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.experiment.explain import validate
from benchmark.experiment.files import read_yaml, shipped_experiments
from benchmark.machine.devices import check_device_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmark.cli.console import ConsoleReporter

_PREFIX = "cluster."


@dataclass(frozen=True)
class Wanted:
    """The options of `bench submit`, and of `bench plan --on`."""

    request: RunRequest
    on: str
    cluster_file: Path | None
    address: str | None
    devices: int | None
    track: tuple[str, ...]
    reporter: ConsoleReporter

    def cluster(self, section: dict[str, Any]) -> ClusterSpec:
        """What each job asks for.

        Args:
            section: of the experiment, as far as it says something, `--set` included.
        """
        shared: dict[str, Any] = {}
        if self.cluster_file is not None:
            data = read_yaml(self.cluster_file)
            if set(data) != {"cluster"} or not isinstance(data["cluster"], dict):
                raise UserError(
                    f"{self.cluster_file}: expected one section, `cluster:`, with keys and values; "
                    f"found {', '.join(map(repr, data))}" + " without any" * (set(data) == {"cluster"})
                )
            validate(ClusterSpec, data["cluster"], str(self.cluster_file))
            shared = data["cluster"]
        cluster = validate(ClusterSpec, {**shared, **section}, "cluster")
        if self.devices is not None:
            if cluster.tasks not in (None, self.devices):
                raise UserError(f"--devices is {self.devices}, but cluster.tasks is {cluster.tasks}; give one of them")
            cluster = cluster.model_copy(update={"tasks": self.devices})
        device = self.request.device
        check_device_name(device)
        if self.on != "local" and device.startswith("cuda") and not cluster.gpus:
            raise UserError(f"--device is '{device}', but cluster.gpus is 0; expected at least 1, or --device cpu")
        return cluster

    def shares(self, cluster: ClusterSpec) -> bool:
        """Whether jobs may meet on one device: a cluster decides that itself, and records say whether they did."""
        return self.request.share or self.on != "local" or (cluster.parallel or 1) > 1

    def pinned(self, precision: str, cluster: ClusterSpec) -> list[str]:
        """The setting that settles `precision: auto` for all jobs, which nodes would settle each for itself."""
        if precision != "auto":
            return []
        from benchmark.machine.devices import choose_device, has_bfloat16

        settled = "bf16" if cluster.gpus or has_bfloat16(choose_device("cpu")) else "32"
        self.reporter.say(f"precision: auto is {settled} in all jobs; --set precision=32 or bf16 for another")
        return [f"precision={settled}"]

    def arguments(self, command: str, config: str, *, settings: Sequence[str] = ()) -> list[str]:
        """The arguments of `bench` for a job, with absolute paths."""
        request = self.request
        words = [command, config]
        for option, value in (("--seeds", request.seeds), ("--budget", request.budget)):
            words += given(option, value) if command != "cost" else []
        words += given("--methods", request.methods) if command != "sweep" else []
        for setting in (*without_cluster(request.settings), *settings):
            words += ["--set", setting]
        return [*words, *self.places(), "--out", str(out_of(request))]

    def places(self) -> list[str]:
        """The arguments that say on which images and device, the same for all commands."""
        request = self.request
        words = given("--data", request.data and request.data.absolute())
        words += given("--device", None if request.device == "auto" else request.device)
        words += given("--on-error", None if request.on_error == "fail" else request.on_error)
        return words + ["--download"] * request.download


def without_cluster(settings: Sequence[str] | None) -> list[str]:
    """The settings that are not about the cluster."""
    return [setting for setting in settings or [] if not setting.strip().startswith(_PREFIX)]


def absolute(config: str) -> str:
    """A configuration's name, or its absolute path where it is a file."""
    return config if config in shipped_experiments() and not Path(config).is_file() else str(Path(config).absolute())


def out_of(request: RunRequest) -> Path:
    """The results folder, absolute, as nodes have to see it."""
    assert request.out is not None
    return request.out.absolute()
