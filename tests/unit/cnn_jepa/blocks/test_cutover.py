"""The choice of the way to compute a convolution, by size, precision and device."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnn_jepa.blocks.cutover import choose
from cnn_jepa.tracing import conv_reach

F32, BF16 = torch.float32, torch.bfloat16


def _conv(channels: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=groups)


@pytest.mark.parametrize(
    ("device", "dtype", "conv", "side", "way"),
    [
        ("cpu", F32, _conv(16), 1, "columns"),
        ("cpu", F32, _conv(32), 1, "taps"),
        ("cpu", BF16, _conv(64), 1, "columns"),
        ("cpu", BF16, _conv(96), 1, "taps"),
        ("cuda", BF16, _conv(64), 1, "taps"),
        ("cpu", F32, _conv(32), 2, "columns"),
        ("cpu", F32, _conv(64), 3, "taps"),
        ("cpu", F32, _conv(64), 4, "tiles"),
        ("cpu", F32, _conv(16, stride=2), 2, "taps"),
        ("cpu", F32, _conv(8, kernel=7, groups=8), 8, "depthwise"),
        ("cuda", F32, _conv(8, kernel=7, groups=8), 2, "dense"),
        ("cpu", F32, _conv(8, groups=8), 2, "dense"),
        ("cpu", F32, _conv(8, groups=2), 8, "tiles"),
    ],
)
def test_choice_by_device_precision_and_size(
    device: str, dtype: torch.dtype, conv: nn.Conv2d, side: int, way: str
) -> None:
    assert choose(device, dtype, conv, conv_reach(conv), side) == way


def test_the_smaller_number_of_channels_decides() -> None:
    conv = nn.Conv2d(16, 256, 3, padding=1)
    assert choose("cpu", F32, conv, conv_reach(conv), 1) == "columns"
