"""Processes that carry out a run together, a device each: how they find each other, and what they agree on.

They agree over a group of their own on the CPU, so that no agreement waits for a device. Alone, a process agrees with
itself.
"""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy

from benchmark.errors import FirstFailedError, GroupLostError, UserError, is_spokesman
from benchmark.machine.devices import choose_device, local_devices, take_device, take_devices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Self

    from benchmark.machine.locks import DeviceLock

T = TypeVar("T")

_WAIT = timedelta(days=7)  # for the first rank, which may probe for hours
_END = timedelta(seconds=60)  # within which all ranks come to the end of a run
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class World:
    """How many processes a command has.

    Attributes:
        size: all of them, a device each.
        local_size: those on this machine.
        launched: whether somebody else has started them (`torchrun`).
    """

    size: int = 1
    local_size: int = 1
    launched: bool = False


_ALONE = World()


def find_world(devices: int | None) -> World:
    """How many processes are asked for, by `--devices` or by `torchrun`'s environment.

    Raises:
        UserError: these contradict each other, or the environment is incomplete.
    """
    if devices is not None and devices < 1:
        raise UserError(f"--devices is {devices}; expected at least 1")
    # Processes that Fabric has started know no RANK, but all the rest.
    stray = (devices or 1) > 1 and "LOCAL_RANK" in os.environ and "MASTER_PORT" not in os.environ
    if "RANK" not in os.environ and not stray:
        return World(devices or 1, devices or 1)
    missing = [name for name in _TORCHRUN if name not in os.environ]
    if missing:
        raise UserError(
            f"the environment looks like torchrun's, but has no {', '.join(missing)}; start all processes with "
            "torchrun, or unset RANK and LOCAL_RANK"
        )
    size = int(os.environ["WORLD_SIZE"])
    if devices not in (None, size):
        raise UserError(f"--devices is {devices}, but torchrun has started {size} processes; leave --devices out")
    return World(size, int(os.environ.get("LOCAL_WORLD_SIZE", size)), launched=True)


def join(device: str, world: World) -> Ranks:
    """Starts the other processes where nobody has, and returns in every one of them when all are there.

    The others run the same command line from its beginning, and come here too.

    Args:
        device: as for `choose_device`; of several GPUs each process has its own.
        world: from `find_world`.

    Raises:
        UserError: there are not as many devices, or the processes do not find each other.
    """
    if world.size == 1:
        return Ranks(choose_device(device))
    kind = local_devices(device, world.local_size)[0].type
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces what it does
    # The option's newer name is unknown to older releases; layouts differ in name alone, for 1x1 kernels.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    fabric = _distributed_fabric(kind, world, "32-true")
    try:
        fabric.launch()
        found = dist.get_world_size() if dist.is_initialized() else 0
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{world.size} devices were asked for, but their processes form no group ({error})") from error
    if found != world.size:
        raise UserError(f"{world.size} devices were asked for, but the group has {found} processes")
    with _within_reach():
        agreement: Any = dist.new_group(backend="gloo", timeout=_WAIT)
        everybody: list[Any] = [None] * world.size
        dist.all_gather_object(everybody, (fabric.node_rank, os.getpid()), group=agreement)
    here = tuple(process for node, process in everybody if node == fabric.node_rank)
    return Ranks(fabric.device, fabric.global_rank, world, here, agreement)


def _distributed_fabric(kind: str, world: World, precision: str) -> Fabric:
    return Fabric(
        accelerator=kind,
        # Only the first rank's statistics are ever read, so that they need not be sent around.
        strategy=DDPStrategy(broadcast_buffers=False),
        devices=world.local_size,
        num_nodes=world.size // world.local_size,
        precision=precision,
        plugins=[TorchElasticEnvironment() if world.launched else LightningEnvironment()],
    )


class Ranks:
    """The processes of a command, as seen by one of them. The first one writes, prints and probes.

    Args:
        device: this process's.
        rank: its number; 0 is the first.
        world: how many there are.
        processes: the ids of those on this machine.
        agreement: the group on the CPU over which they agree; None for a single process.
    """

    def __init__(
        self,
        device: torch.device,
        rank: int = 0,
        world: World = _ALONE,
        processes: tuple[int, ...] = (),
        agreement: Any = None,
    ) -> None:
        self.device, self.rank = device, rank
        self.size, self.local_size = world.size, world.local_size
        self.processes = processes or (os.getpid(),)
        self._world = world
        self._agreement = agreement
        self._at_work = False

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes, prints and probes."""
        return self.rank == 0

    def fabric(self, precision: str) -> Fabric:
        """A Fabric on this process's device, in its place among the others."""
        if self.size > 1:
            fabric = _distributed_fabric(self.device.type, self._world, precision)
            fabric.launch()  # starts nothing: the processes are there
            assert fabric.world_size == self.size
            return fabric
        cuda = self.device.type == "cuda"
        devices = [self.device.index or 0] if cuda else 1
        return Fabric(accelerator="cuda" if cuda else "cpu", devices=devices, precision=precision)

    # What ranks agree on.

    def agree(self, seconds: float, stop: bool) -> tuple[float, bool]:
        """The slowest rank's seconds, and whether any wants to stop."""
        slowest, wanted = self._reduce([seconds, float(stop)], dist.ReduceOp.MAX)
        return slowest, wanted > 0

    def any(self, holds: bool) -> bool:
        """Whether it holds on any rank."""
        return self._reduce([float(holds)], dist.ReduceOp.MAX)[0] > 0

    def slowest(self, seconds: float) -> float:
        """The largest of all ranks' values."""
        return self._reduce([seconds], dist.ReduceOp.MAX)[0]

    def sum(self, value: float) -> float:
        """Over ranks."""
        return self._reduce([value], dist.ReduceOp.SUM)[0]

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Over ranks, name by name; all of them have the same names."""
        sums = self._reduce(list(values.values()), dist.ReduceOp.SUM)
        return {name: value / self.size for name, value in zip(values, sums, strict=True)}

    def _reduce(self, values: list[float], operation: Any) -> list[float]:
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        with _within_reach():
            dist.all_reduce(tensor, operation, group=self._agreement)
        return [float(value) for value in tensor.tolist()]

    def first(self, work: Callable[[], T]) -> T:
        """What `work` gives on the first rank, for all of them; the others wait.

        Raises:
            FirstFailedError: on the others, where it failed or the first rank has ended; on the first rank its own
                exception.
        """
        if self.size == 1:
            return work()
        if not self.is_first:
            answer = self._told(None)
            if answer is None:
                raise FirstFailedError("the first rank has ended")
            value, failed = answer
            if failed:
                raise FirstFailedError("the first rank's part of the run failed")
            result: T = value
            return result
        try:
            made = work()
        except Exception:
            with suppress(GroupLostError):
                self._told((None, True))
            raise
        self._told((made, False))
        return made

    def _told(self, value: Any) -> Any:
        """What the first rank gives, on every rank."""
        box = [value]
        with _within_reach():
            dist.broadcast_object_list(box, src=0, group=self._agreement)
        return box[0]

    def in_turn(self, work: Callable[[], T]) -> T:
        """What `work` gives, on every rank: one on each machine does it first, which leaves files for the others."""
        if self.size == 1:
            return work()
        if is_spokesman():
            made = work()
            self.any(False)
            return made
        self.any(False)
        return work()

    def begin_run(self) -> None:
        """From now to `finish_run`, ranks notice by themselves that another one is gone."""
        self._at_work = True

    def finish_run(self, holds: bool) -> bool | None:
        """Waits for all ranks at the end of a run, however it ended.

        Ranks that failed at the same place are together again, and can go on with the next run.

        Returns:
            Whether `holds` is true on any of them; None where one does not come any more.
        """
        if self.size > 1 and self._at_work:
            try:
                dist.monitored_barrier(self._agreement, timeout=_END)
                holds = self.any(holds)
            except (RuntimeError, GroupLostError):
                return None
        self._at_work = False
        return holds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Ends together: the first rank lets the others go, who wait for that unless they failed."""
        if self.size > 1 and not self._at_work and (self.is_first or kind is None):
            with suppress(GroupLostError):
                self._told(None)


@contextmanager
def _within_reach() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise GroupLostError("another device's process has ended") from error


@contextmanager
def held(device: str, group: Ranks | None, *, share: bool) -> Iterator[tuple[Ranks, list[DeviceLock]]]:
    """Holds the devices of this machine that are used, against all other processes.

    Args:
        device: as for `choose_device`.
        group: the processes that work together, of which one on each machine holds the devices for all that are there.
            None for this process alone, which takes the first device that is free.
        share: use them beside others.

    Raises:
        UserError: one is in use.
    """
    if group is None:
        with take_device(device, share=share) as (taken, lock):
            yield Ranks(taken), [lock]
        return
    devices = local_devices(device, group.local_size) if is_spokesman() else []
    with take_devices(devices, share=share) as locks:
        yield group, locks
