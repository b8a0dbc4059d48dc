"""Conversion between maps and blocks, and convolutions of whole maps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cnn_jepa.blocks.maps import cut, dense, pick, place


def test_cut_takes_visible_blocks_and_returns_their_gradients(blocks: Any) -> None:
    maps = blocks.maps(3, 4).requires_grad_()
    made = cut(maps, blocks.layout.cells, 4)
    assert torch.equal(made, blocks.of(maps))
    made.sum().backward()
    assert torch.equal(maps.grad.ne(0), maps.ne(0))


@pytest.mark.parametrize("side", [1, 2])
def test_picked_rows_are_placed_where_they_were(blocks: Any, side: int) -> None:
    maps, positions = blocks.maps(3, side), blocks.layout.positions(side)
    rows = pick(maps, positions)
    assert rows.shape == (12 * side**2, 3)
    assert torch.equal(place(rows, positions, (2, 3 * side, 4 * side)), maps)
    assert torch.autograd.gradcheck(
        lambda x: place(x, positions, (2, 3 * side, 4 * side)), rows[:, :1].requires_grad_()
    )


@pytest.mark.parametrize(
    "conv", [nn.Conv2d(4, 4, 7, padding=3, groups=4), nn.Conv2d(4, 6, 3, padding=1, stride=2)], ids=str
)
def test_convolution(blocks: Any, conv: nn.Conv2d) -> None:
    blocks.assert_as_on_maps(conv, 2, lambda *given: dense(*given, blocks.grid), "dense")
