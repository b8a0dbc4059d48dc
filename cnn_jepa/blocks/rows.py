"""Blocks as rows of a matrix, and operations without a halo: products, batch norm, operations inside a block.

Shape suffixes: N visible blocks, C O channels in and out, s side of a block, u v of a window, R rows (positions), P
pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cnn_jepa.blocks.layout import significant_unit

if TYPE_CHECKING:
    from cnn_jepa.program import Reach


def as_rows(blocks_NCss: Tensor) -> Tensor:
    """Blocks as rows `(N s s, C)`."""
    return blocks_NCss.permute(0, 2, 3, 1).reshape(-1, blocks_NCss.shape[1])


def as_blocks(rows_RC: Tensor, height: int, width: int) -> Tensor:
    """Rows as blocks `(N, C, height, width)`, channels last in memory."""
    return rows_RC.view(-1, height, width, rows_RC.shape[1]).permute(0, 3, 1, 2)


def working_dtype(values: Tensor) -> torch.dtype:
    """The precision of convolutions: autocast's where it is on, except for float64."""
    device = values.device.type
    if values.dtype != torch.float64 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return values.dtype


def at_one_precision(module: nn.Conv2d, blocks: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Input, weight and bias at the working precision; autocast does not cover our own functions."""
    dtype = working_dtype(blocks)
    bias = None if module.bias is None else module.bias.to(dtype)
    return blocks.to(dtype), module.weight.to(dtype), bias


def local(module: nn.Module, blocks_NCss: Tensor, reach: Reach) -> Tensor:
    """An operation that reads nothing outside its block."""
    if not isinstance(module, nn.Conv2d) or module.groups > 1 or not _tiles_plane(reach):
        same: Tensor = module(blocks_NCss)
        return same
    blocks, weight, bias = at_one_precision(module, blocks_NCss)
    side, stride = blocks.shape[2] // reach.stride, reach.stride
    if reach.kernel == (1, 1):
        rows_RC = as_rows(blocks if stride == 1 else _Thin.apply(blocks, stride))
        matrix = weight.flatten(1)
    else:
        count, channels = blocks.shape[:2]
        split = blocks.permute(0, 2, 3, 1).reshape(count, side, stride, side, stride, channels)
        rows_RC = split.transpose(2, 3).reshape(-1, stride * stride * channels)
        matrix = weight.permute(0, 2, 3, 1).flatten(1)
    out: Tensor = _Product.apply(rows_RC, matrix)
    return as_blocks(out if bias is None else out + bias, side, side)


def _tiles_plane(reach: Reach) -> bool:
    """Whether no two output positions read the same input, so that the convolution is a product of rows."""
    return reach.kernel == (1, 1) or (reach.kernel == (reach.stride, reach.stride) and reach.dilation == (1, 1))


def batch_norm(norm: nn.BatchNorm2d | nn.SyncBatchNorm, blocks_NCss: Tensor) -> Tensor:
    """Batch norm over visible positions, of all processes if it is synchronised.

    Raises:
        ValueError: fewer than two visible positions in training.
    """
    rows = len(blocks_NCss) * blocks_NCss.shape[2] * blocks_NCss.shape[3]
    alone = not isinstance(norm, nn.SyncBatchNorm)  # otherwise other processes have positions, too
    if norm.training and alone and rows < 2:
        raise ValueError(f"batch norm sees {rows} visible positions in training; it needs at least 2")
    if blocks_NCss.shape[2] > 1 or not rows:
        normed: Tensor = norm(blocks_NCss)
        return normed
    # Kernels for channels last do not recognise the layout of blocks of one position, but do for one row of an image.
    # The clone owns its memory, so that operations in place need no further copy.
    image = as_rows(blocks_NCss).view(1, 1, rows, -1).permute(0, 3, 1, 2)
    normed = norm(image)
    return normed.permute(3, 1, 0, 2).clone(memory_format=torch.channels_last)


class _Product(torch.autograd.Function):
    """Rows times a matrix `(O, C)`."""

    @staticmethod
    def forward(ctx: Any, rows_RC: Tensor, matrix_OC: Tensor) -> Tensor:
        ctx.save_for_backward(rows_RC, matrix_OC)
        return rows_times(rows_RC, matrix_OC.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RO: Tensor) -> tuple[Tensor | None, ...]:
        rows_RC, matrix_OC = ctx.saved_tensors
        needs_rows, needs_matrix = ctx.needs_input_grad
        grad_rows = rows_times(grad_RO, matrix_OC) if needs_rows else None
        if not needs_matrix:
            return grad_rows, None
        return grad_rows, product_over_rows(grad_RO, rows_RC)


def rows_times(rows_RK: Tensor, matrix: Tensor) -> Tensor:
    """Rows times a matrix."""
    (whole,), rest = _split(rows_RK)
    if rest is None:
        return rows_RK @ matrix
    product = rows_RK.new_empty(len(rows_RK), matrix.shape[1])
    torch.mm(whole, matrix, out=product[: len(whole)])
    product[len(whole) :] = (rest[0] @ matrix)[: len(rows_RK) - len(whole)]
    return product


def product_over_rows(first_RO: Tensor, second_RC: Tensor) -> Tensor:
    """`first.T @ second`, the gradient of a matrix."""
    whole, rest = _split(first_RO, second_RC)
    product = whole[0].t() @ whole[1]
    return product if rest is None else product.addmm_(rest[0].t(), rest[1])


def _split(*tensors: Tensor) -> tuple[list[Tensor], list[Tensor] | None]:
    """Splits rows into a number that recurs often and a rest, padded with zeros to such a number.

    Only for bfloat16 on CPUs, where oneDNN spends milliseconds on compiling a product for each new shape.
    """
    count, first = len(tensors[0]), tensors[0]
    compiles_shapes = first.dtype == torch.bfloat16 and first.device.type == "cpu" and not torch.compiler.is_compiling()
    unit = significant_unit(count) if compiles_shapes else 1
    even = count // unit * unit
    if even == count:
        return list(tensors), None
    rests = [tensor.new_zeros(unit, tensor.shape[1]) for tensor in tensors]
    for rest, tensor in zip(rests, tensors, strict=True):
        rest[: count - even] = tensor[even:]
    return [tensor[:even] for tensor in tensors], rests


class _Thin(torch.autograd.Function):
    """Every n-th row and column of blocks; torch's own slicing loses the memory layout in the backward pass."""

    @staticmethod
    def forward(ctx: Any, blocks_NCss: Tensor, stride: int) -> Tensor:
        ctx.shape, ctx.stride = blocks_NCss.shape, stride
        return blocks_NCss[:, :, ::stride, ::stride].contiguous(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        count, channels, height, width = ctx.shape
        whole = grad.new_zeros(count, height, width, channels).permute(0, 3, 1, 2)
        whole[:, :, :: ctx.stride, :: ctx.stride] = grad
        return whole, None
