"""The machine and the software of a run, for its record. Never names a host, a user or a path."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from datetime import datetime, timezone
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from benchmark.machine.code import commit_here, output
from benchmark.machine.devices import has_bfloat16
from benchmark.records.cost import Hardware
from benchmark.records.schema import Environment

_PACKAGES = (
    "cnn-jepa-bench", "torch", "torchvision", "timm", "lightly", "lightning-fabric", "numpy", "scipy", "scikit-learn",
    "pydantic", "safetensors", "pandas", "optuna", "h5py",
)  # fmt: skip


def describe(device: torch.device, devices: int, plugged: str | None = None) -> Environment:
    """The environment of a run on `devices` devices of one kind; `plugged` is the package of a plug-in's method."""
    commit, dirty = commit_here()
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_versions((*_PACKAGES, plugged) if plugged else _PACKAGES),
        commit=commit,
        dirty=dirty,
        device=device.type,
        device_model=_device_model(device),
        devices=devices,
        driver=_driver() if device.type == "cuda" else None,
        cpu_model=cpu_model(),
        visible_cores=visible_cores(),
        threads=torch.get_num_threads(),
        instructions=instructions(),
        memory_bytes=psutil.virtual_memory().total,
    )


def hardware(device: torch.device, devices: int, precision: str) -> Hardware:
    """The kind of hardware that training uses with `devices` devices of one kind, for step costs."""
    return Hardware(
        device=device.type,
        device_model=_device_model(device),
        devices=devices,
        cpu_model=cpu_model(),
        visible_cores=visible_cores(),
        threads=torch.get_num_threads(),
        instructions=instructions(),
        precision=precision,
        torch=".".join(torch.__version__.split("+")[0].split(".")[:2]),
    )


def now() -> str:
    """The current time (UTC, to the second), as records have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def visible_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def instructions() -> str:
    """The vector instructions that torch uses here, such as `AVX2` or `AVX512 BF16`; limits set by the user count."""
    widest = torch.backends.cpu.get_cpu_capability()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    lower = f"oneDNN {limit}" if limit and limit.upper() not in ("ALL", "DEFAULT") else ""
    extra = "BF16" if not lower and has_bfloat16(torch.device("cpu")) else ""
    return " ".join(word for word in (widest, lower, extra) if word)


@lru_cache
def cpu_model() -> str:
    """The CPU's name, from the operating system."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _device_model(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model()


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def _driver() -> str | None:
    answer = output(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    return answer.splitlines()[0].strip() if answer else None
