"""Convolution as one matrix product: the same as on whole maps."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from cnn_jepa.blocks.columns import columns, suits
from cnn_jepa.program import Reach


@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize(
    "conv", [nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 6, (1, 5), padding=(0, 2), bias=False)], ids=str
)
def test_convolution(blocks: Any, conv: nn.Conv2d, side: int) -> None:
    blocks.assert_as_on_maps(conv, side, lambda conv, given, reach, index: columns(conv, given, index), "columns")


def test_only_symmetric_kernels_of_stride_one_suit() -> None:
    assert suits(Reach((3, 3), 1, (1, 1), (1, 1)))
    assert not suits(Reach((3, 3), 2, (1, 1), (1, 1)))
    assert not suits(Reach((2, 2), 1, (0, 0), (1, 1)))
