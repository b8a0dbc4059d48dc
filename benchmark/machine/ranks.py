"""Ranks: processes that train together, a device each. They join a group and agree on what they do.

They agree over a group of their own on the CPU, so that no agreement waits for a device. A process that is alone agrees
with itself.
"""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins import environments
from lightning_fabric.strategies import DDPStrategy

from benchmark.errors import FirstFailedError, GroupLostError, UserError
from benchmark.machine.devices import choose_device, local_devices, take_device, unique_name
from benchmark.machine.launch import World, is_spokesman
from benchmark.machine.locks import DeviceLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Self

T = TypeVar("T")

_PATIENCE = timedelta(days=7)  # the first rank may probe for hours
_END = timedelta(seconds=60)  # in which all ranks reach the end of a run
_IGNORED_WARNINGS = (
    "`broadcast_buffers` is deprecated",  # older releases do not know the newer name
    "Grad strides do not match bucket view strides",  # of 1x1 kernels, whose layouts differ in name alone
    "The `srun` command is available",  # Fabric overlooks `srun` inside of `salloc`
)


def join(device: str, world: World) -> Ranks:
    """Forms the group of all processes; starts the others where no launcher has.

    The others run the same command line from its beginning, and join here too. Of several GPUs each process gets its
    own.

    Raises:
        UserError: there are too few devices, or the processes do not find each other.
    """
    if world.size == 1:
        return Ranks(choose_device(device))
    kind = local_devices(device, world.local_size)[0].type
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces each process
    for message in _IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    try:
        fabric = _distributed_fabric(kind, world, "32-true")
        fabric.launch()
        joined = dist.get_world_size() if dist.is_initialized() else 0
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{world.size} devices were asked for, but their processes form no group ({error})") from error
    if joined != world.size:
        raise UserError(f"{world.size} devices were asked for, but the group has {joined} processes")
    with _group_errors():
        agreement: Any = dist.new_group(backend="gloo", timeout=_PATIENCE)
        processes: list[Any] = [None] * world.size
        dist.all_gather_object(processes, (fabric.node_rank, os.getpid()), group=agreement)
    local = tuple(process for node, process in processes if node == fabric.node_rank)
    return Ranks(fabric.device, fabric.global_rank, world, local, agreement)


def _distributed_fabric(kind: str, world: World, precision: str) -> Fabric:
    return Fabric(
        accelerator=kind,
        # Only the first rank's running statistics are read, so that they need not be sent around.
        strategy=DDPStrategy(broadcast_buffers=False),
        devices=world.local_size,
        num_nodes=world.size // world.local_size,
        precision=precision,
        plugins=[getattr(environments, world.launcher.environment if world.launcher else "LightningEnvironment")()],
    )


class Ranks:
    """The processes of a command, as one of them sees them. The first one (`is_first`) writes, prints and probes.

    Args:
        processes: the ids of those on this machine; this one alone if empty.
        agreement: the group on the CPU over which they agree; None for a single process.
    """

    def __init__(
        self,
        device: torch.device,
        rank: int = 0,
        world: World = World(),  # noqa: B008 - frozen
        processes: tuple[int, ...] = (),
        agreement: Any = None,
    ) -> None:
        self.device, self.rank, self.is_first = device, rank, rank == 0
        self.size, self.local_size = world.size, world.local_size
        self.processes = processes or (os.getpid(),)
        self._world = world
        self._agreement = agreement
        self._at_work = False

    def fabric(self, precision: str) -> Fabric:
        """A Fabric on this process's device, in its place among the others."""
        if self.size > 1:
            fabric = _distributed_fabric(self.device.type, self._world, precision)
            fabric.launch()  # starts nothing: the processes are there
            assert fabric.world_size == self.size
            return fabric
        cuda = self.device.type == "cuda"
        devices = [self.device.index or 0] if cuda else 1
        # Named, because Fabric would take the shell of a Slurm job for one of several processes.
        alone = [environments.LightningEnvironment()]
        return Fabric(accelerator="cuda" if cuda else "cpu", devices=devices, precision=precision, plugins=alone)

    def agree(self, seconds: float, stop: bool) -> tuple[float, bool]:
        """The slowest rank's seconds, and whether any wants to stop."""
        slowest, stopping = self._reduce([seconds, float(stop)], dist.ReduceOp.MAX)
        return slowest, stopping > 0

    def any(self, condition: bool) -> bool:
        """Whether the condition is true on any rank."""
        return self._reduce([float(condition)], dist.ReduceOp.MAX)[0] > 0

    def slowest(self, seconds: float) -> float:
        """The slowest rank's seconds."""
        return self._reduce([seconds], dist.ReduceOp.MAX)[0]

    def sum(self, value: float) -> float:
        """The sum over ranks."""
        return self._reduce([value], dist.ReduceOp.SUM)[0]

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean over ranks for each name; all ranks have the same names."""
        sums = self._reduce(list(values.values()), dist.ReduceOp.SUM)
        return {name: value / self.size for name, value in zip(values, sums, strict=True)}

    def _reduce(self, values: list[float], operation: Any) -> list[float]:
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        with _group_errors():
            dist.all_reduce(tensor, operation, group=self._agreement)
        return [float(value) for value in tensor.tolist()]

    def first(self, work: Callable[[], T]) -> T:
        """The result of `work` on the first rank, sent to all others, which wait for it.

        Raises:
            FirstFailedError: on the other ranks, if `work` failed or the first rank has ended. The first rank raises
                the exception of `work` itself.
        """
        if self.size == 1:
            return work()
        if not self.is_first:
            ended: Any = (None, "the first rank has ended")
            result: T
            result, failure = self._broadcast(None) or ended
            if failure:
                raise FirstFailedError(failure)
            return result
        try:
            result = work()
        except Exception:
            with suppress(GroupLostError):
                self._broadcast((None, "the first rank's part of the run failed"))
            raise
        self._broadcast((result, None))
        return result

    def _broadcast(self, value: Any) -> Any:
        """The first rank's value, on every rank."""
        box = [value]
        with _group_errors():
            dist.broadcast_object_list(box, src=0, group=self._agreement)
        return box[0]

    def in_turn(self, work: Callable[[], T]) -> T:
        """The result of `work`, done on every rank: first by one of each machine, whose files the others then find."""
        if self.size > 1 and not is_spokesman():
            self.any(False)  # until the others have done it
            return work()
        result = work()
        self.any(False)
        return result

    def begin_run(self) -> None:
        """Begins a run. Until `finish_run`, ranks notice by themselves when another one has ended."""
        self._at_work = True

    def finish_run(self, condition: bool) -> bool | None:
        """Waits for all ranks at the end of a run, however it ended.

        If all ranks failed at the same place, they meet here and can continue with the next run.

        Returns:
            Whether the condition is true on any rank; None if one of them has ended.
        """
        if self.size > 1 and self._at_work:
            try:
                dist.monitored_barrier(self._agreement, timeout=_END)
                condition = self.any(condition)
            except (RuntimeError, GroupLostError):
                return None
        self._at_work = False
        return condition

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Ends together: the others wait until the first rank has ended, unless they failed."""
        if self.size > 1 and not self._at_work and (self.is_first or kind is None):
            with suppress(GroupLostError):
                self._broadcast(None)


@contextmanager
def _group_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise GroupLostError("another device's process has ended") from error


@contextmanager
def held(device: str, group: Ranks | None, *, share: bool) -> Iterator[tuple[Ranks, list[DeviceLock]]]:
    """Locks the devices that a command uses on this machine against all other processes.

    Args:
        group: the processes that train together; one on each machine locks the devices of all that are there. None for
            this process alone, which takes the first device that is free.
        share: use the devices beside other processes.

    Raises:
        UserError: a device is in use.
    """
    if group is None:
        with take_device(device, share=share) as (free, lock):
            yield Ranks(free), [lock]
        return
    devices = local_devices(device, group.local_size) if is_spokesman() else []
    with ExitStack() as stack:
        yield group, [stack.enter_context(DeviceLock(unique_name(used), share=share)) for used in devices]
