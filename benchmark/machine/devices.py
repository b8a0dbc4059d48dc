"""Devices: choosing them, and locking them while they are used."""

from __future__ import annotations

import itertools
import re
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.machine.locks import DeviceLock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


def check_device_name(name: str) -> None:
    """Raises UserError unless the name is `auto`, `cpu`, `cuda` or `cuda:N`; does not import torch."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UserError(f"--device is '{name}'; choices: auto, cpu, cuda, cuda:N")


def choose_device(name: str) -> torch.device:
    """The device of this name, or UserError; for `auto` the first GPU, or the CPU where there is none."""
    return _candidates(name)[0]


def device_count() -> int:
    """Devices of this machine that can have a run each: its visible GPUs, or the CPU where there is none."""
    return len(_candidates("auto"))


def check_device_free(name: str) -> None:
    """Raises UserError unless a device of this name is free; of several, one is enough."""
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
    """The devices of `count` processes on this machine: a GPU each (UserError if too few), or the CPU for all."""
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
def take_device(name: str, *, share: bool = False) -> Iterator[tuple[torch.device, DeviceLock]]:
    """Locks a device: of those that fit the name, the first that no other process uses.

    Args:
        share: if none is free, use one beside other processes.

    Raises:
        UserError: there is no such device, or all that fit are in use.
    """
    *others, last = itertools.product((False, True) if share else (False,), _candidates(name))
    with ExitStack() as stack:
        for shared, device in others:
            with suppress(UserError):
                lock = stack.enter_context(DeviceLock(unique_name(device), share=shared))
                break
        else:
            shared, device = last
            lock = stack.enter_context(DeviceLock(unique_name(device), share=shared))
        yield device, lock


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
    """Whether the device has instructions for bfloat16; a CPU without them is far slower (`perf/precision.py`)."""
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
