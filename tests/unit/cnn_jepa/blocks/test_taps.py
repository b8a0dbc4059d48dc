"""Convolution by pairs of visible positions: the same as on whole maps, and its FLOPs."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnn_jepa.blocks.layout import Need
from cnn_jepa.blocks.taps import TapIndex, taps
from cnn_jepa.tracing import conv_reach


@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize(
    "conv", [nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 6, 5, padding=4, dilation=2, bias=False)], ids=str
)
def test_convolution(blocks: Any, conv: nn.Conv2d, side: int) -> None:
    blocks.assert_as_on_maps(conv, side, taps, "taps")


def test_convolution_with_a_stride(blocks: Any) -> None:
    blocks.assert_as_on_maps(nn.Conv2d(4, 6, 3, padding=1, stride=2), 4, taps, "taps")


def test_flops_are_those_of_the_pairs(blocks: Any) -> None:
    conv = nn.Conv2d(4, 6, 3, padding=1)
    reach = conv_reach(conv)
    index = blocks.layout.get(Need("taps", 1, reach))
    given = blocks.of(blocks.maps(4, 1)).float().requires_grad_()
    with FlopCounterMode(display=False) as forward:
        output = taps(conv, given, reach, index)
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    pairs = len(TapIndex(*index[1:]).read)
    # Each of the 12 visible cells reads itself, and its visible neighbours.
    assert pairs >= int((index[0][1][:-1] - index[0][0][:-1]).sum()) > 12
    assert forward.get_total_flops() == 2 * pairs * 4 * 6
    assert backward.get_total_flops() == 2 * forward.get_total_flops()
