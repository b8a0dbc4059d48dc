"""Convolution and pooling on windows: the same as on whole maps."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from cnn_jepa.blocks.layout import Need
from cnn_jepa.blocks.tiles import gather_windows, pool, tiles, window_size
from cnn_jepa.program import Reach


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 6, 3, padding=1),
        nn.Conv2d(4, 6, 3, padding=1, stride=2, bias=False),
        nn.Conv2d(4, 6, 7, padding=3, stride=2),
        nn.Conv2d(4, 4, 5, padding=2, groups=2),
        nn.Conv2d(4, 6, 3, padding=2, dilation=2),
        nn.Conv2d(4, 6, (1, 3), padding=(0, 1)),
    ],
    ids=str,
)
def test_convolution(blocks: Any, conv: nn.Conv2d) -> None:
    blocks.assert_as_on_maps(conv, 4, tiles, "windows")


@pytest.mark.parametrize(
    "module",
    [
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(3, 1, 1),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AvgPool2d(3, 1, 1, divisor_override=5),
    ],
    ids=str,
)
def test_pooling(blocks: Any, module: nn.Module) -> None:
    blocks.assert_as_on_maps(module, 4, pool, "windows")


def test_windows_are_as_large_as_the_reach() -> None:
    assert window_size(4, Reach((3, 3), 1, (1, 1), (1, 1))) == (6, 6)
    assert window_size(4, Reach((7, 3), 2, (3, 1), (1, 1))) == (9, 5)
    assert window_size(4, Reach((3, 3), 1, (2, 2), (2, 2))) == (8, 8)


def test_hidden_positions_are_zero_and_positions_outside_are_padding(blocks: Any) -> None:
    reach = Reach((3, 3), 1, (1, 1), (1, 1))
    given = blocks.of(blocks.maps(1, 2))
    windows = gather_windows(given, blocks.layout.get(Need("windows", 2, reach))[0], (4, 4), outside=9.0)
    first = windows[0, 0]  # the upper left cell: its right neighbour is visible, the ones below are not, but diagonally
    assert first[0].tolist() == [9.0] * 4 and first[1:, 0].tolist() == [9.0] * 3
    assert first[3, 1:3].tolist() == [0.0, 0.0]
    assert first[1:3, 3].tolist() == given[1, 0, :, 0].tolist()
    assert first[3, 3] == given[2, 0, 0, 0]
