"""Convolution as one matrix product: for each position the rows that the kernel reads, side by side (im2col).

Hidden neighbours enter as zeros. For narrow layers this costs less than one product per tap of the kernel.

Shape suffixes: N visible blocks, C O channels in and out, s side of a block, R rows (positions), T taps of the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cnn_jepa.blocks.gather import Kernels, gather
from cnn_jepa.blocks.rows import as_blocks, as_rows, at_one_precision, product_over_rows, rows_times

if TYPE_CHECKING:
    from cnn_jepa.program import Reach


def suits(reach: Reach) -> bool:
    """Whether the backward pass is the same operation: stride 1 and equal padding on both sides."""
    return reach.stride == 1 and all(reach.padding[axis] == reach.after(axis) for axis in range(2))


def columns(module: nn.Conv2d, blocks_NCss: Tensor, index: tuple[Tensor, ...], kernels: Kernels = "torch") -> Tensor:
    """A convolution of stride 1 as a matrix product."""
    blocks, weight, bias = at_one_precision(module, blocks_NCss)
    out: Tensor = _ColumnConv.apply(as_rows(blocks), weight, index[0], kernels)
    return as_blocks(out if bias is None else out + bias, blocks.shape[2], blocks.shape[3])


class _ColumnConv(torch.autograd.Function):
    """The convolution; its backward pass is the same operation with the kernel flipped."""

    @staticmethod
    def forward(ctx: Any, rows_RC: Tensor, weight: Tensor, flat: Tensor, kernels: Kernels) -> Tensor:
        ctx.save_for_backward(rows_RC, weight, flat)
        ctx.kernels = kernels
        return rows_times(_side_by_side(rows_RC, flat, _tap_count(weight), kernels), _matrix(weight).t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RO: Tensor) -> tuple[Tensor | None, ...]:
        rows_RC, weight, flat = ctx.saved_tensors
        grad_rows = grad_weight = None
        if ctx.needs_input_grad[0]:
            flipped = _matrix(weight.flip(2, 3).transpose(0, 1))
            grad_rows = rows_times(_side_by_side(grad_RO, flat, _tap_count(weight), ctx.kernels), flipped.t())
        if ctx.needs_input_grad[1]:
            outputs, inputs, height, width = weight.shape
            matrix = product_over_rows(grad_RO, _side_by_side(rows_RC, flat, height * width, ctx.kernels))
            grad_weight = matrix.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
        return grad_rows, grad_weight, None, None


def _tap_count(weight: Tensor) -> int:
    return weight.shape[2] * weight.shape[3]


def _matrix(weight: Tensor) -> Tensor:
    """`(O, T C)`; a view of weights that are channels last in memory."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _side_by_side(rows_RC: Tensor, flat: Tensor, taps: int, kernels: Kernels) -> Tensor:
    """`(R, T C)`: the rows that each position's taps read, zero where they are hidden or outside the image."""
    return gather(rows_RC, flat, kernels=kernels).view(len(rows_RC), taps * rows_RC.shape[1])
