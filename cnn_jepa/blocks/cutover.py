"""Chooses the fastest way to compute a convolution, by a table that `perf/cutover.py` measured.

The table is committed and not measured at run time, so that a run sums in the same order on every machine. It was
measured on CPUs (2 cores, AVX-512 with bfloat16). Other devices use the float32 table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from cnn_jepa.blocks import depthwise

if TYPE_CHECKING:
    from cnn_jepa.program import Reach

# By the side of the output blocks: the number of channels from which on each way is the fastest. Larger blocks: tiles.
_FLOAT32: dict[int, tuple[tuple[int, str], ...]] = {
    1: ((0, "columns"), (32, "taps")),
    2: ((0, "columns"), (64, "taps")),
}
_BFLOAT16: dict[int, tuple[tuple[int, str], ...]] = {
    1: ((0, "columns"), (96, "taps")),
    2: ((0, "columns"), (64, "taps")),
}
# Grouped convolutions gain little from matrix products; where halos outgrow the block, the whole map is cheaper. oneDNN
# has a fast weight gradient for 3x3 depthwise kernels only: on CPUs, others run as `depthwise`.
_GROUPED: dict[int, tuple[tuple[int, str], ...]] = {side: ((0, "dense"),) for side in (1, 2, 3, 4)}


def choose(device: str, dtype: torch.dtype, conv: nn.Conv2d, reach: Reach, side: int) -> str:
    """The fastest way to run a convolution: `tiles`, `columns`, `taps`, `depthwise` (modules) or `dense` (in `maps`).

    Args:
        device: its kind, such as `cpu`.
        side: of the blocks that the convolution reads, in positions.
    """
    if conv.groups > 1 and device == "cpu" and depthwise.suits(conv, reach) and reach.kernel != (3, 3):
        return "depthwise"
    table = _BFLOAT16 if dtype == torch.bfloat16 and device == "cpu" else _FLOAT32
    if conv.groups > 1:
        table = _GROUPED
    out_side = side // conv.stride[0]
    row = table.get(out_side) or table.get(1 << (out_side.bit_length() - 1), ((0, "tiles"),))
    way = [way for least, way in row if min(conv.in_channels, conv.out_channels) >= least][-1]
    # `columns` needs a kernel that reaches equally far to all sides.
    return "taps" if way == "columns" and (conv.stride[0] > 1 or not all(k % 2 for k in conv.kernel_size)) else way
