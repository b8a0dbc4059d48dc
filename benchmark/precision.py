"""The precision of runs: what `auto` means on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from benchmark.experiment import Experiment

# As /proc/cpuinfo names them: x86 with AVX-512 or AMX, ARM.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_CPUINFO = Path("/proc/cpuinfo")


def settle(experiment: Experiment, device: torch.device) -> Experiment:
    """The experiment with a precision that says what is computed, in place of `auto`.

    It is part of every run's key and of the quality key: where two machines settle it differently, their rows are not
    ranked together.
    """
    if experiment.precision != "auto":
        return experiment
    return experiment.model_copy(update={"precision": "bf16" if has_bfloat16(device) else "32"})


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
