"""`bench doctor`: what this machine has, what runs will use, and what is missing."""

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
    """Names and values, in order; `missing:` names what to install or repair. Refuses a device that is not there."""
    chosen = choose_device(device)
    machine = describe(chosen, 1)
    yield "program", f"{machine.packages.get('cnn-jepa-bench', 'not installed')}, commit {machine.commit or 'unknown'}"
    yield "system", f"{machine.platform}, Python {machine.python}"
    packages = [f"{name} {version}" for name, version in machine.packages.items() if name != "cnn-jepa-bench"]
    yield "packages", ", ".join(packages)
    yield "cpu", f"{machine.cpu_model}, {machine.visible_cores} cores visible, {machine.threads} threads"
    memory = psutil.virtual_memory()
    yield "memory", f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"
    yield "gpus", ", ".join(_gpus()) or "none visible"
    yield "runs use", f"{chosen} ({machine.device_model}); precision auto is {'bf16' if has_bfloat16(chosen) else '32'}"
    yield "in use by", _users(chosen)
    readable = [source.name for source in sources(chosen)]
    yield "measured", ", ".join(_MEASURED[name] for name in readable) or "only time and memory"
    for text in _missing(chosen, readable, out):
        yield "missing:", text


def _gpus() -> list[str]:
    if not torch.cuda.is_available():
        return []
    properties = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [f"cuda:{i} {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for i, gpu in enumerate(properties)]


def _users(device: torch.device) -> str:
    try:
        with DeviceLock(unique_name(device)):
            return "nobody"
    except UserError as error:
        return str(error)


def _missing(device: torch.device, readable: list[str], out: Path) -> Iterator[str]:
    if device.type == "cuda" and find_spec("pynvml") is None:
        yield "nvidia-ml-py, without which energy and clocks are not measured (pip install 'cnn-jepa-bench[gpu]')"
    elif "energy" not in readable:
        yield "a readable energy counter (RAPL needs /sys/class/powercap to be readable); energy stays empty"
    existing = next(folder for folder in (out, *out.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        yield f"the right to write to {existing}, where results would go"
    elif free < _LEAST_DISK:
        yield f"disk space at {existing}: {free / 2**20:.0f} MiB are free"
    if find_spec("solo") is None:
        yield "solo-learn, which the parity tests compare with (pip install --no-deps solo-learn==1.0.2)"
