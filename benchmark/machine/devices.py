"""Devices: choosing them, and locking them while they are used."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.machine.locks import DeviceLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch


def check_device_name(name: str) -> None:
    """Refuses what is not the name of a device, without importing torch.

    Raises:
        UserError: `--device` is neither `auto`, `cpu`, `cuda` nor `cuda:N`.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UserError(f"--device is '{name}'; choices: auto, cpu, cuda, cuda:N")


def choose_device(name: str) -> torch.device:
    """The device of this name; for `auto` the first GPU, or the CPU where there is none.

    Args:
        name: `auto`, `cpu`, `cuda`, or one of several GPUs, such as `cuda:1`.

    Raises:
        UserError: there is no such device.
    """
    return _candidates(name)[0]


def check_device_free(name: str) -> None:
    """Refuses a device that another process uses, before anything slow is done.

    Args:
        name: as for `choose_device`; of several that fit, one free device is enough.

    Raises:
        UserError: there is no such device, or all that fit are in use.
    """
    with take_device(name):
        pass


def _candidates(name: str) -> list[torch.device]:
    import torch

    check_device_name(name)
    visible = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not visible):
        return [torch.device("cpu")]
    if not visible:
        raise UserError(f"--device is '{name}', but no CUDA device is visible; choices: auto, cpu")
    if name in ("auto", "cuda"):
        return [torch.device("cuda", index) for index in range(visible)]
    index = int(name.partition(":")[2])
    if index >= visible:
        raise UserError(f"--device is '{name}', but {visible} CUDA devices are visible, the first of them cuda:0")
    return [torch.device("cuda", index)]


def local_devices(name: str, count: int) -> list[torch.device]:
    """The devices of several processes on this machine: a GPU each, or the CPU for all of them.

    Args:
        name: as for `choose_device`.
        count: how many processes.

    Raises:
        UserError: there are too few GPUs.
    """
    devices = _candidates(name)
    if devices[0].type == "cpu":
        return devices
    if count > len(devices):
        raise UserError(
            f"{count} devices are asked for, but --device {name} gives {len(devices)}; "
            "each process has to see all GPUs that the processes of its machine use"
        )
    return devices[:count]


@contextmanager
def take_devices(devices: Sequence[torch.device], *, share: bool = False) -> Iterator[list[DeviceLock]]:
    """Locks several devices, for processes that train together.

    Raises:
        UserError: one of them is in use.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(DeviceLock(unique_name(device), share=share)) for device in devices]


@contextmanager
def take_device(name: str, *, share: bool = False) -> Iterator[tuple[torch.device, DeviceLock]]:
    """Locks a device: of those that fit the name, the first that no other process uses.

    Args:
        name: as for `choose_device`.
        share: if none is free, use one beside other processes.

    Raises:
        UserError: there is no such device, or all that fit are in use.
    """
    device, lock = _lock_first(_candidates(name), share=share)
    try:
        yield device, lock
    finally:
        lock.__exit__()


def _lock_first(candidates: Sequence[torch.device], *, share: bool) -> tuple[torch.device, DeviceLock]:
    refusal: UserError | None = None
    for shared in (False, True) if share else (False,):
        for device in candidates:
            try:
                return device, DeviceLock(unique_name(device), share=shared).__enter__()
            except UserError as error:
                refusal = error
    assert refusal is not None
    raise refusal


def unique_name(device: torch.device) -> str:
    """The device's name for locks: the same in every process of the machine, whichever devices it sees."""
    if device.type == "cpu":
        return "cpu"
    import torch

    return f"cuda-{torch.cuda.get_device_properties(device).uuid}"


# The names in /proc/cpuinfo: x86 with AVX-512 or AMX, ARM.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_CPUINFO = Path("/proc/cpuinfo")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16.

    A CPU without them is many times slower in bfloat16 than in float32 (`perf/precision.py`).
    """
    if device.type == "cuda":
        import torch

        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not _CPU_FLAGS.isdisjoint(flags.partition(":")[2].split())
