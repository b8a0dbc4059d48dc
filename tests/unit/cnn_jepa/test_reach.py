"""What layers read, and layers that do not keep blocks apart."""

from __future__ import annotations

import pytest
from torch import nn

from cnn_jepa.program import Reach
from cnn_jepa.reach import find_reach


@pytest.mark.parametrize(
    ("layer", "reach"),
    [
        (nn.Conv2d(4, 4, 3, 2, 1), Reach((3, 3), 2, (1, 1), (1, 1))),
        (nn.Conv2d(4, 4, (1, 5), padding=(0, 4), dilation=(1, 2)), Reach((1, 5), 1, (0, 4), (1, 2))),
        # An even kernel with `same` padding pads one position more after the last one.
        (nn.Conv2d(4, 4, 4, padding="same"), Reach((4, 4), 1, (1, 1), (1, 1))),
        (nn.MaxPool2d(2), Reach((2, 2), 2, (0, 0), (1, 1))),
        (nn.AvgPool2d(3, 2, 0, ceil_mode=True, count_include_pad=False), Reach((3, 3), 2, (0, 0), (1, 1))),
        (nn.AvgPool2d(3, 2, 0, ceil_mode=True, divisor_override=9), Reach((3, 3), 2, (0, 0), (1, 1))),
        (nn.AvgPool2d(2, 2, ceil_mode=True), Reach((2, 2), 2, (0, 0), (1, 1))),
    ],
)
def test_what_a_layer_reads(layer: nn.Module, reach: Reach) -> None:
    assert find_reach(layer) == reach


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "pads with 'reflect'"),
        (nn.Conv2d(4, 4, 3), "padding (0, 0) and dilation (1, 1) does not divide"),
        (nn.Conv2d(4, 4, 3, (2, 1), 1), "has stride (2, 1), which makes oblong blocks"),
        (nn.MaxPool2d(3, 2, 1, return_indices=True), "returns indices"),
        (nn.MaxPool2d(3, 2, 1, ceil_mode=True), "does not divide"),
        (nn.AvgPool2d(3, 2, 0, ceil_mode=True), "with ceil_mode divides by another number"),
    ],
)
def test_layers_that_do_not_keep_blocks_apart(layer: nn.Module, reason: str) -> None:
    assert reason in str(find_reach(layer))
