"""One Triton kernel for gathering rows and for its adjoint: each row of the result is the sum of some rows, or of one.

Shape suffixes: N rows that are read, R rows that are made, C channels, K reads of each.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 2048  # values that a program makes
_WIDEST = 128  # channels of a program


def gather_sum(values_NC: Tensor, index_RK: Tensor, reads: int, outside: float = 0.0) -> Tensor:
    """Rows `(R, C)`, each the sum of K rows, in the order of the index, accumulated in float32 (float64 in float64).

    Args:
        values_NC: on a CUDA device, or anywhere under Triton's interpreter.
        index_RK: flat, int64; N stands for a row of zeros, and what is larger for one of `outside`.
        reads: K.
    """
    values = values_NC.contiguous()
    count, channels = values.shape
    total = len(index_RK) // reads
    made = values.new_empty(total, channels)
    if not made.numel():
        return made
    width = min(_WIDEST, triton.next_power_of_2(channels))
    rows = max(1, _TILE // width)
    grid = (triton.cdiv(total, rows), triton.cdiv(channels, width))
    sums = tl.float64 if values.dtype == torch.float64 else tl.float32
    _gather_sum[grid](values, index_RK, made, total, count, channels, outside, reads, rows, width, sums)
    return made


# Triton reads the annotations: it knows its own alone.
@triton.jit  # type: ignore[untyped-decorator]
def _gather_sum(  # type: ignore[no-untyped-def]
    values,
    index,
    made,
    total,
    count,
    channels,
    outside,
    READS: tl.constexpr,  # noqa: N803 - Triton's custom
    ROWS: tl.constexpr,  # noqa: N803
    WIDTH: tl.constexpr,  # noqa: N803
    SUMS: tl.constexpr,  # noqa: N803
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = (row < total)[:, None] & (channel < channels)[None, :]
    sums = tl.full((ROWS, WIDTH), 0.0, SUMS)
    for read in tl.static_range(READS):
        source = tl.load(index + row * READS + read, mask=row < total, other=count)
        there = inside & (source < count)[:, None]
        value = tl.load(values + source[:, None] * channels + channel[None, :], mask=there, other=0.0)
        sums += value.to(SUMS)
        sums += tl.where((source > count)[:, None], outside, 0.0).to(SUMS)
    tl.store(made + row[:, None] * channels + channel[None, :], sums.to(made.dtype.element_ty), mask=inside)
