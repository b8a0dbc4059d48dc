"""Depthwise convolution of stride 1 on CPUs: features on whole maps, the weight's gradient at visible positions only.

A wide depthwise kernel is cheap to apply: whole maps with zeros at hidden cells cost less than halos that outgrow the
blocks. The gradient of its weight is expensive: oneDNN takes 8 to 90 times as long for it as for the convolution (7x7,
`perf/depthwise.py`). Here it is the product of shifted windows with the gradient, over visible positions only.

Shape suffixes: N visible blocks, C channels, s side of a block, u v of a window, R rows (positions).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import register_flop_formula

from cnn_jepa.blocks.rows import as_blocks, as_rows, at_one_precision
from cnn_jepa.blocks.tiles import window_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnn_jepa.program import Reach

_BLOCKS = 64  # processed at a time, so that their windows stay in the processor's caches


def suits(module: nn.Conv2d, reach: Reach) -> bool:
    """Whether a convolution is depthwise, of stride 1, undilated, and padded equally on both sides."""
    one_each = module.groups == module.in_channels == module.out_channels
    symmetric = all(reach.padding[axis] == reach.after(axis) for axis in range(2))
    return one_each and symmetric and reach.stride == 1 and reach.dilation == (1, 1)


def depthwise(
    module: nn.Conv2d, blocks_NCss: Tensor, reach: Reach, index: tuple[Tensor, ...], grid: tuple[int, int, int]
) -> Tensor:
    """A depthwise convolution of visible blocks (see `suits`).

    Args:
        index: the positions `(R,)` of the rows in the batch's maps, and the rows `(N u v,)` that the windows read, of
            which R and R + 1 are zeros.
        grid: (B, h, w).
    """
    positions, flat = index
    blocks, weight, bias = at_one_precision(module, blocks_NCss)
    out: Tensor = _Depthwise.apply(blocks, weight, positions, flat, reach, grid)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


class _Depthwise(torch.autograd.Function):
    """The convolution; its backward pass is the same convolution with the kernel flipped."""

    @staticmethod
    def forward(
        ctx: Any,
        blocks_NCss: Tensor,
        weight: Tensor,
        positions: Tensor,
        flat: Tensor,
        reach: Reach,
        grid: tuple[int, int, int],
    ) -> Tensor:
        ctx.save_for_backward(blocks_NCss, weight, positions, flat)
        ctx.reach, ctx.grid = reach, grid
        return _on_maps(blocks_NCss, weight, positions, reach, grid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NCss: Tensor) -> tuple[Tensor | None, ...]:
        blocks, weight, positions, flat = ctx.saved_tensors
        grad_blocks = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_blocks = _on_maps(grad_NCss, weight.flip(2, 3), positions, ctx.reach, ctx.grid)
        if ctx.needs_input_grad[1]:
            size = window_size(blocks.shape[2], ctx.reach)
            grad_weight = _weight_gradient(as_rows(grad_NCss), as_rows(blocks), flat, *size, *ctx.reach.kernel)
            grad_weight = grad_weight.to(weight.dtype)
        return grad_blocks, grad_weight, None, None, None, None


def _on_maps(
    blocks_NCss: Tensor, weight: Tensor, positions: Tensor, reach: Reach, grid: tuple[int, int, int]
) -> Tensor:
    batch, side, channels = grid[0], blocks_NCss.shape[2], blocks_NCss.shape[1]
    height, width = grid[1] * side, grid[2] * side
    rows_RC = as_rows(blocks_NCss)
    flat = rows_RC.new_zeros(batch * height * width, channels).index_copy_(0, positions, rows_RC)
    maps = flat.view(batch, height, width, channels).permute(0, 3, 1, 2)
    out = F.conv2d(maps, weight, None, 1, reach.padding, 1, channels)
    return as_blocks(as_rows(out).index_select(0, positions), side, side)


@torch.library.custom_op(
    "cnn_jepa::depthwise_weight_gradient",
    mutates_args=(),
    schema="(Tensor grad, Tensor rows, Tensor flat, SymInt u, SymInt v, SymInt height, SymInt width) -> Tensor",
)
def _weight_gradient(grad_RC: Tensor, rows_RC: Tensor, flat: Tensor, u: int, v: int, height: int, width: int) -> Tensor:
    """The weight's gradient `(C, 1, height, width)`, summed in float32, or float64 for such input.

    A custom operator, so that compilers do not unroll its loop and torch's FLOP counter sees it.
    """
    channels, rows, columns = rows_RC.shape[1], u - height + 1, v - width + 1
    total = torch.float64 if rows_RC.dtype == torch.float64 else torch.float32
    summed = rows_RC.new_zeros(height, width, channels, dtype=total)
    padded = torch.cat((rows_RC, rows_RC.new_zeros(2, channels)))
    windows, grads = flat.view(-1, u * v), grad_RC.view(-1, rows, columns, channels)
    for index, grad in zip(torch.split(windows, _BLOCKS), torch.split(grads, _BLOCKS), strict=True):
        read = padded.index_select(0, index.flatten()).to(total).view(-1, u, v, channels)
        grad = grad.to(total)
        for row in range(height):
            for column in range(width):
                shifted = read[:, row : row + rows, column : column + columns]
                summed[row, column] += (shifted * grad).sum((0, 1, 2))
    return summed.permute(2, 0, 1).unsqueeze(1).contiguous()


@_weight_gradient.register_fake
def _(grad_RC: Tensor, rows_RC: Tensor, flat: Tensor, u: int, v: int, height: int, width: int) -> Tensor:
    total = torch.float64 if rows_RC.dtype == torch.float64 else torch.float32
    return rows_RC.new_empty(rows_RC.shape[1], 1, height, width, dtype=total)


@register_flop_formula(torch.ops.cnn_jepa.depthwise_weight_gradient)
def _weight_gradient_flops(
    grad_RC: Sequence[int], rows_RC: Sequence[int], flat: Any, u: int, v: int, height: int, width: int, **_: Any
) -> int:
    """For torch's FLOP counter: a multiplication and an addition per visible position, channel and tap."""
    return 2 * grad_RC[0] * grad_RC[1] * height * width
