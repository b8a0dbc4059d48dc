"""What `bench doctor` says: what this machine has, what runs will use, what is missing."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING

import psutil
import torch

from benchmark.cost.sources import sources
from benchmark.errors import UserError
from benchmark.machine.devices import choose_device, has_bfloat16, unique_name
from benchmark.machine.environment import describe
from benchmark.machine.locks import DeviceLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MEASURED = {"others": "other processes' load", "energy": "energy", "clock": "clock", "throttled": "throttling"}
_LEAST_DISK = 1 << 30


def examine(device: str, out: Path) -> Iterator[tuple[str, str]]:
    """Names and values, in order; what a user may want to mend begins with `missing:`.

    Args:
        device: as for `bench run`.
        out: the results folder.

    Raises:
        UserError: the device is not there.
    """
    chosen = choose_device(device)
    found = describe(chosen, 1)
    yield "program", f"{found.packages.get('cnn-jepa-bench', 'not installed')}, commit {found.commit or 'unknown'}"
    yield "system", f"{found.platform}, Python {found.python}"
    yield (
        "packages",
        ", ".join(f"{name} {version}" for name, version in found.packages.items() if name != "cnn-jepa-bench"),
    )
    yield "cpu", f"{found.cpu_model}, {found.visible_cores} cores visible, {found.threads} threads"
    memory = psutil.virtual_memory()
    yield "memory", f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"
    yield "gpus", ", ".join(_gpus()) or "none visible"
    yield "runs use", f"{chosen} ({found.device_model}); precision auto is {'bf16' if has_bfloat16(chosen) else '32'}"
    yield "in use by", _users(chosen)
    readable = [source.name for source in sources(chosen)]
    yield "measured", ", ".join(_MEASURED[name] for name in readable) or "nothing beside time and memory"
    yield from _missing(chosen, readable, out)


def _gpus() -> list[str]:
    if not torch.cuda.is_available():
        return []
    every = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [f"cuda:{i} {one.name}, {one.total_memory / 2**30:.0f} GiB" for i, one in enumerate(every)]


def _users(device: torch.device) -> str:
    try:
        with DeviceLock(unique_name(device)):
            return "nobody"
    except UserError as error:
        return str(error)


def _missing(device: torch.device, readable: list[str], out: Path) -> Iterator[tuple[str, str]]:
    if device.type == "cuda" and find_spec("pynvml") is None:
        yield (
            "missing:",
            "nvidia-ml-py, without which energy and clocks are not measured (pip install 'cnn-jepa-bench[gpu]')",
        )
    elif "energy" not in readable:
        yield (
            "missing:",
            "a readable energy counter (RAPL needs /sys/class/powercap to be readable); energy stays empty",
        )
    place = next(folder for folder in (out, *out.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        yield "missing:", f"the right to write to {place}, where results would go"
    elif free < _LEAST_DISK:
        yield "missing:", f"disk space at {place}: {free / 2**20:.0f} MiB are free"
    if find_spec("solo") is None:
        yield "missing:", "solo-learn, which the parity tests compare with (pip install --no-deps solo-learn==1.0.2)"
