"""Which way of computing a convolution pays at which block size."""

from __future__ import annotations

import torch
from torch import nn


def choose(device: str, dtype: torch.dtype, module: nn.Conv2d, side: int) -> str:
    """`tiles`, `taps` or `dense`."""
    if module.groups > 1:
        return "tiles" if side > 4 else "dense"
    return "tiles" if side > 2 else "taps"
