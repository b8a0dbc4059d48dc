"""Depthwise convolution: the same as on whole maps, which layers suit, and its FLOPs."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnn_jepa.blocks.depthwise import depthwise, suits
from cnn_jepa.blocks.layout import Need
from cnn_jepa.tracing import conv_reach


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(4, 4, 7, padding=3, groups=4), nn.Conv2d(4, 4, (1, 5), padding=(0, 2), groups=4, bias=False)],
    ids=str,
)
def test_convolution(blocks: Any, conv: nn.Conv2d, side: int) -> None:
    blocks.assert_as_on_maps(conv, side, lambda *given: depthwise(*given, blocks.grid), "depthwise")


@pytest.mark.parametrize(
    ("conv", "fits"),
    [
        (nn.Conv2d(4, 4, 7, padding=3, groups=4), True),
        (nn.Conv2d(4, 4, 7, padding=3, groups=2), False),
        (nn.Conv2d(4, 8, 7, padding=3, groups=4), False),
        (nn.Conv2d(4, 4, 3, padding=1, stride=2, groups=4), False),
        (nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), False),
    ],
)
def test_which_convolutions_suit(conv: nn.Conv2d, fits: bool) -> None:
    assert suits(conv, conv_reach(conv)) == fits


def test_flops_of_the_weights_gradient_are_those_of_visible_positions(blocks: Any) -> None:
    conv = nn.Conv2d(4, 4, 5, padding=2, groups=4)
    reach = conv_reach(conv)
    given = blocks.of(blocks.maps(4, 2)).float()
    output = depthwise(conv, given, reach, blocks.layout.get(Need("depthwise", 2, reach)), blocks.grid)
    with FlopCounterMode(display=False) as counter:
        output.sum().backward()
    assert counter.get_total_flops() == 2 * len(given) * 4 * 4 * 25
