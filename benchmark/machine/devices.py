"""Which device a command uses, and holding it for the time."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmark.errors import UserError
from benchmark.machine.locks import DeviceLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def choose_device(name: str) -> torch.device:
    """The device that is asked for, or the best there is.

    Args:
        name: `auto`, `cpu`, `cuda`, or one of several GPUs, such as `cuda:1`.

    Raises:
        UserError: it is not there.
    """
    return _candidates(name)[0]


def _candidates(name: str) -> list[torch.device]:
    visible = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not visible):
        return [torch.device("cpu")]
    if not (name in ("auto", "cuda") or re.fullmatch(r"cuda:\d+", name)):
        raise UserError(f"--device is '{name}'; choices: auto, cpu, cuda, cuda:N")
    if not visible:
        raise UserError(f"--device is '{name}', but no CUDA device is visible; choices: auto, cpu")
    if name in ("auto", "cuda"):
        return [torch.device("cuda", index) for index in range(visible)]
    index = int(name.partition(":")[2])
    if index >= visible:
        raise UserError(f"--device is '{name}', but {visible} CUDA devices are visible, the first of them cuda:0")
    return [torch.device("cuda", index)]


def local_devices(name: str, count: int) -> list[torch.device]:
    """The devices of `count` processes on this machine: a GPU each, or the CPU for all of them.

    Args:
        name: as for `choose_device`.
        count: how many processes.

    Raises:
        UserError: there are not as many.
    """
    found = _candidates(name)
    if found[0].type == "cpu":
        return found
    if count > len(found):
        raise UserError(f"{count} devices are asked for, but --device {name} gives {len(found)}")
    return found[:count]


@contextmanager
def take_devices(devices: Sequence[torch.device], *, share: bool = False) -> Iterator[list[DeviceLock]]:
    """Holds several devices, for processes that work together.

    Raises:
        UserError: one of them is in use.
    """
    with ExitStack() as stack:
        yield [stack.enter_context(DeviceLock(unique_name(device), share=share)) for device in devices]


@contextmanager
def take_device(name: str, *, share: bool = False) -> Iterator[tuple[torch.device, DeviceLock]]:
    """Holds a device: of several that fit, the first that no other process holds.

    Args:
        name: as for `choose_device`.
        share: use it beside others.

    Raises:
        UserError: it is not there, or all that fit are in use.
    """
    candidates = _candidates(name)
    # Sharing comes into question only where no device is free.
    tries = [(device, False) for device in candidates] + [(device, True) for device in candidates if share]
    for number, (device, beside) in enumerate(tries, 1):
        lock = DeviceLock(unique_name(device), share=beside)
        try:
            lock.__enter__()
        except UserError:
            if number == len(tries):
                raise
            continue
        try:
            yield device, lock
        finally:
            lock.__exit__()
        return


def unique_name(device: torch.device) -> str:
    """The same in every process of the machine, whatever devices it sees."""
    if device.type == "cpu":
        return "cpu"
    return f"cuda-{torch.cuda.get_device_properties(device).uuid}"


# As /proc/cpuinfo names them: x86 with AVX-512 or AMX, ARM.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_CPUINFO = Path("/proc/cpuinfo")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself.

    A CPU that does not is many times slower in bfloat16 than in float32 (`perf/precision.py`).
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not _CPU_FLAGS.isdisjoint(flags.partition(":")[2].split())
