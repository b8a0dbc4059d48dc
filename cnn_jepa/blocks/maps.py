"""Conversion between blocks and whole maps, and convolutions of whole maps for halos that outgrow the block.

Shape suffixes: N visible blocks, C O channels in and out, s side of a block, R rows (positions), B H W whole maps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cnn_jepa.blocks.rows import as_blocks, as_rows

if TYPE_CHECKING:
    from cnn_jepa.program import Reach


def cut(images_BCHW: Tensor, cells: Tensor, side: int) -> Tensor:
    """The visible blocks of images, `(N, C, side, side)`; `cells` are their indices in the batch."""
    batch, channels, height, width = images_BCHW.shape
    split = images_BCHW.view(batch, channels, height // side, side, width // side, side)
    patches = split.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side * channels)
    picked: Tensor = _Pick.apply(patches, cells)
    return picked.view(-1, side, side, channels).permute(0, 3, 1, 2)


class _Place(torch.autograd.Function):
    """Writes rows to distinct positions of a map that is zero elsewhere."""

    @staticmethod
    def forward(ctx: Any, rows_RC: Tensor, positions: Tensor, total: int) -> Tensor:
        ctx.save_for_backward(positions)
        return rows_RC.new_zeros(total, rows_RC.shape[1]).index_copy_(0, positions, rows_RC)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (positions,) = ctx.saved_tensors
        return grad.index_select(0, positions), None, None


class _Pick(torch.autograd.Function):
    """Reads the rows at distinct positions of a map."""

    @staticmethod
    def forward(ctx: Any, map_PC: Tensor, positions: Tensor) -> Tensor:
        ctx.save_for_backward(positions)
        ctx.total = len(map_PC)
        return map_PC.index_select(0, positions)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RC: Tensor) -> tuple[Tensor | None, ...]:
        (positions,) = ctx.saved_tensors
        return grad_RC.new_zeros(ctx.total, grad_RC.shape[1]).index_copy_(0, positions, grad_RC), None


def place(rows_RC: Tensor, positions: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Maps `(B, C, H, W)` from rows at distinct positions; `shape` is (B, H, W)."""
    batch, height, width = shape
    placed: Tensor = _Place.apply(rows_RC, positions, batch * height * width)
    return placed.view(batch, height, width, -1).permute(0, 3, 1, 2)


def pick(map_BCHW: Tensor, positions: Tensor) -> Tensor:
    """Rows of maps `(B, C, H, W)` at distinct positions."""
    picked: Tensor = _Pick.apply(as_rows(map_BCHW), positions)
    return picked


def dense(
    module: nn.Conv2d, blocks_NCss: Tensor, reach: Reach, index: tuple[Tensor, ...], grid: tuple[int, int, int]
) -> Tensor:
    """A convolution of the whole batch's maps, with zeros at hidden cells; `grid` is (B, h, w)."""
    read, written = index
    side = blocks_NCss.shape[2]
    maps = place(as_rows(blocks_NCss), read, (grid[0], grid[1] * side, grid[2] * side))
    out = pick(module(maps), written)
    return as_blocks(out, side // reach.stride, side // reach.stride)
