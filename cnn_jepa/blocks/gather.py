"""Rows gathered into windows, and the sums of their gradients: by torch's operations, or by a kernel of our own.

Torch's are the oracle. The kernel, in Triton, needs no copy of the rows with their padding, and adds up gradients in a
fixed order, without atomic operations.

Shape suffixes: R rows (positions), P positions of windows, C channels, K reads of a row.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

Kernels = Literal["torch", "triton"]


def check_kernels(kernels: Kernels, device: torch.device) -> None:
    """Refuses kernels that cannot run on a device.

    Raises:
        ValueError: Triton is not installed, or the device is none of its own. Its interpreter (`TRITON_INTERPRET=1`)
            runs on a CPU, slowly.
    """
    if kernels != "triton":
        return
    if find_spec("triton") is None:
        raise ValueError("kernels are 'triton', which is not installed; expected 'torch'")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(f"kernels are 'triton', which need a CUDA device, not {device.type}; expected 'torch'")


def gather(rows_RC: Tensor, index_P: Tensor, outside: float = 0.0, kernels: Kernels = "torch") -> Tensor:
    """The rows `(P, C)` at an index; R stands for a row of zeros, R + 1 for one of `outside`."""
    if kernels == "triton":
        from cnn_jepa.blocks.triton_rows import gather_sum

        return gather_sum(rows_RC, index_P, 1, outside)
    ends = rows_RC.new_zeros(2, rows_RC.shape[1])
    if outside:
        ends[1] = outside
    return torch.cat((rows_RC, ends)).index_select(0, index_P)


def sum_reads(values_PC: Tensor, readers_RK: Tensor, reads: int, kernels: Kernels = "torch") -> Tensor:
    """For each row the sum `(R, C)` of the values at its K positions, flat in `readers_RK`; P stands for none."""
    if kernels == "triton":
        from cnn_jepa.blocks.triton_rows import gather_sum

        return gather_sum(values_PC, readers_RK, reads)
    return gather(values_PC, readers_RK).view(-1, reads, values_PC.shape[1]).sum(1)
