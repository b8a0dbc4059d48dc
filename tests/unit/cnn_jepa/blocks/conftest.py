"""Blocks of masked maps, and the comparison of an operation on blocks with the same operation on whole maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from cnn_jepa.blocks.layout import Layout, Need
from cnn_jepa.tracing import conv_reach

if TYPE_CHECKING:
    from collections.abc import Callable


class Blocks:
    """Two masked images on a grid of 3 x 4 cells.

    Attributes:
        context_Bhw: the visible cells.
        layout: their layout.
        grid: images, rows and columns.
    """

    grid = (2, 3, 4)

    def __init__(self) -> None:
        self.context_Bhw = torch.tensor(
            [[[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], [[0, 0, 0, 0], [1, 0, 1, 1], [1, 1, 1, 1]]], dtype=torch.bool
        )
        self.layout = Layout(self.context_Bhw)

    def maps(self, channels: int, side: int) -> Tensor:
        """Random maps `(2, C, 3 side, 4 side)` in float64, zero at hidden cells."""
        generator = torch.Generator().manual_seed(0)
        shape = (self.grid[0], channels, self.grid[1] * side, self.grid[2] * side)
        visible = self.context_Bhw.repeat_interleave(side, 1).repeat_interleave(side, 2).unsqueeze(1)
        return torch.randn(shape, generator=generator, dtype=torch.float64) * visible

    def of(self, maps: Tensor) -> Tensor:
        """The visible blocks `(N, C, s, s)` of maps."""
        batch, channels, height, width = maps.shape
        side = height // self.grid[1]
        split = maps.view(batch, channels, self.grid[1], side, width // side, side).permute(0, 2, 4, 1, 3, 5)
        return split[self.context_Bhw]

    def assert_as_on_maps(
        self, module: nn.Module, side: int, run: Callable[..., Tensor], form: str | None = None, channels: int = 4
    ) -> None:
        """Values and gradients of `run(module, blocks, reach[, index])` are those of the module on whole maps."""
        module, reach = module.double(), conv_reach(module)
        index = [] if form is None else [self.layout.get(Need(form, side, reach))]
        maps = self.maps(channels, side).requires_grad_()
        blocks = self.of(maps.detach()).requires_grad_()
        expected, got = self.of(module(maps)), run(module, blocks, reach, *index)
        torch.testing.assert_close(got, expected)
        weights, parameters = torch.randn_like(expected), list(module.parameters())
        on_maps = torch.autograd.grad((expected * weights).sum(), [maps, *parameters])
        on_blocks = torch.autograd.grad((got * weights).sum(), [blocks, *parameters])
        torch.testing.assert_close(on_blocks[0], self.of(on_maps[0]))
        for one, other in zip(on_blocks[1:], on_maps[1:], strict=True):
            torch.testing.assert_close(one, other)


@pytest.fixture
def blocks() -> Any:
    torch.manual_seed(0)
    return Blocks()
