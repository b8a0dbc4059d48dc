"""Which way of computing a convolution pays: the table that `perf/cutover.py` measured.

It is committed rather than measured at run time, so that the same run sums in the same order everywhere. Measured on
CPUs (2 cores, AVX-512 with bfloat16); other devices take the float32 columns until somebody measures them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from cnn_jepa.blocks import depthwise

if TYPE_CHECKING:
    from cnn_jepa.program import Reach

# By the side of the blocks that are made: from how many channels on each way is the fastest. Larger blocks: tiles.
_FLOAT32: dict[int, tuple[tuple[int, str], ...]] = {
    1: ((0, "columns"), (32, "taps")),
    2: ((0, "columns"), (64, "taps")),
}
_BFLOAT16: dict[int, tuple[tuple[int, str], ...]] = {
    1: ((0, "columns"), (96, "taps")),
    2: ((0, "columns"), (64, "taps")),
}
# Grouped convolutions have no matrix products to speak of; where halos outgrow the block, the whole map is cheaper. For
# depthwise kernels other than 3x3, which oneDNN has a fast weight gradient for, `depthwise` has one of its own on CPUs.
_GROUPED: dict[int, tuple[tuple[int, str], ...]] = {side: ((0, "dense"),) for side in (1, 2, 3, 4)}


def choose(device: str, dtype: torch.dtype, conv: nn.Conv2d, reach: Reach, side: int) -> str:
    """How to run a convolution: `tiles`, `columns`, `taps`, `depthwise` (modules beside this one), `dense` (in `maps`).

    Args:
        device: its kind.
        dtype: the precision it runs at.
        conv: the layer.
        reach: what it reads.
        side: of the blocks it reads, in positions.
    """
    if conv.groups > 1 and device == "cpu" and depthwise.suits(conv, reach) and reach.kernel != (3, 3):
        return "depthwise"
    table = _BFLOAT16 if dtype == torch.bfloat16 and device == "cpu" else _FLOAT32
    if conv.groups > 1:
        table = _GROUPED
    made = side // conv.stride[0]
    row = table.get(made) or table.get(1 << (made.bit_length() - 1), ((0, "tiles"),))
    way = [way for least, way in row if min(conv.in_channels, conv.out_channels) >= least][-1]
    # Columns want a kernel that reaches equally far to all sides.
    return "taps" if way == "columns" and (conv.stride[0] > 1 or not all(k % 2 for k in conv.kernel_size)) else way
