"""Convolution and pooling on blocks with their halo, as one batch of small images.

Shape suffixes: N visible blocks, C O channels in and out, s side of a block, u v of a window, R rows (positions), P
pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cnn_jepa.blocks.gather import Kernels, gather, sum_reads
from cnn_jepa.blocks.rows import as_blocks, as_rows, at_one_precision

if TYPE_CHECKING:
    from cnn_jepa.program import Reach


def tiles(
    module: nn.Conv2d, blocks_NCss: Tensor, reach: Reach, index: tuple[Tensor, ...], kernels: Kernels = "torch"
) -> Tensor:
    """A convolution as an ordinary one on windows, blocks with their halo; `index` is that of `windows_form`."""
    flat, *back = index
    blocks, weight, bias = at_one_precision(module, blocks_NCss)
    side = blocks.shape[2]
    if _is_its_own_adjoint(reach):
        out: Tensor = _SameConv.apply(blocks, weight, flat, reach, module.groups, kernels)
        return out if bias is None else out + bias.view(1, -1, 1, 1)
    windows = _Windows.apply(blocks, flat, tuple(back), window_size(side, reach), reach.padding, 0.0, kernels)
    return F.conv2d(windows, weight, bias, reach.stride, 0, reach.dilation, module.groups)


def windows_form(reach: Reach, kernels: Kernels, *, convolution: bool) -> str:
    """The index that `tiles` (of a convolution) and `pool` need: kernels of ours add up gradients by reader."""
    return "readers" if kernels == "triton" and not (convolution and _is_its_own_adjoint(reach)) else "windows"


def _is_its_own_adjoint(reach: Reach) -> bool:
    """Whether the backward pass of a convolution is the same operation, with its kernel flipped."""
    return reach.stride == 1 and all(reach.padding[axis] == reach.after(axis) for axis in range(2))


def pool(
    module: nn.Module, blocks_NCss: Tensor, reach: Reach, index: tuple[Tensor, ...], kernels: Kernels = "torch"
) -> Tensor:
    """Pooling; hidden neighbours are zero, and positions outside the image have the operation's own padding."""
    flat, *back = index
    largest = isinstance(module, nn.MaxPool2d)
    size = window_size(blocks_NCss.shape[2], reach)
    outside = float("-inf") if largest else 0.0
    windows = _Windows.apply(blocks_NCss, flat, tuple(back), size, reach.padding, outside, kernels)
    if largest:
        return F.max_pool2d(windows, reach.kernel, reach.stride, 0, reach.dilation)
    assert isinstance(module, nn.AvgPool2d)
    if module.count_include_pad or module.divisor_override:
        return F.avg_pool2d(windows, reach.kernel, reach.stride, divisor_override=module.divisor_override)
    # Each sum is divided by its number of positions inside the image, hidden ones included.
    rows = len(blocks_NCss) * blocks_NCss.shape[2] ** 2
    inside = (flat <= rows).to(windows.dtype).view(-1, 1, *size)
    sums = F.avg_pool2d(windows, reach.kernel, reach.stride, divisor_override=1)
    return sums / F.avg_pool2d(inside, reach.kernel, reach.stride, divisor_override=1)


def window_size(side: int, reach: Reach) -> tuple[int, int]:
    """Rows and columns of a block with its halo."""
    return reach.padding[0] + side + reach.after(0), reach.padding[1] + side + reach.after(1)


def gather_windows(
    blocks_NCss: Tensor, flat: Tensor, size: tuple[int, int], outside: float = 0.0, kernels: Kernels = "torch"
) -> Tensor:
    """Blocks with their halo `(N, C, u, v)`: hidden positions are zero, those outside the image `outside`."""
    return as_blocks(gather(as_rows(blocks_NCss), flat, outside, kernels), *size)


def _fold(grad_NCuv: Tensor, side: int, before: tuple[int, int], halo: Tensor, origin: Tensor) -> Tensor:
    """The adjoint of `gather_windows`: sums the gradients of a block and of its copies in the halos of others."""
    count, channels, height, width = grad_NCuv.shape
    grad_NssC = grad_NCuv.new_zeros(count, side, side, channels)
    rows, columns = min(side, height - before[0]), min(side, width - before[1])
    inner = grad_NCuv[:, :, before[0] : before[0] + rows, before[1] : before[1] + columns]
    grad_NssC[:, :rows, :columns] = inner.permute(0, 2, 3, 1)
    grad_NssC.view(-1, channels).index_add_(0, origin, as_rows(grad_NCuv).index_select(0, halo))
    return grad_NssC.permute(0, 3, 1, 2)


class _Windows(torch.autograd.Function):
    """Blocks with their halo, differentiable."""

    @staticmethod
    def forward(
        ctx: Any,
        blocks_NCss: Tensor,
        flat: Tensor,
        back: tuple[Tensor, ...],
        size: tuple[int, int],
        before: tuple[int, int],
        outside: float,
        kernels: Kernels,
    ) -> Tensor:
        ctx.save_for_backward(*back)
        ctx.side, ctx.before, ctx.kernels = blocks_NCss.shape[2], before, kernels
        return gather_windows(blocks_NCss, flat, size, outside, kernels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NCuv: Tensor) -> tuple[Tensor | None, ...]:
        side, nothing = ctx.side, (None,) * 6
        back = ctx.saved_tensors  # under checkpointing they can be had once
        if len(back) == 2:
            return _fold(grad_NCuv, side, ctx.before, *back), *nothing
        (readers_RK,) = back
        reads = len(readers_RK) // (len(grad_NCuv) * side * side) if len(grad_NCuv) else 1
        return as_blocks(sum_reads(as_rows(grad_NCuv), readers_RK, reads, ctx.kernels), side, side), *nothing


class _SameConv(torch.autograd.Function):
    """A convolution of stride 1 whose windows reach equally far on both sides.

    Its backward pass is the same operation with the kernel flipped: gradients are gathered, not scattered, and only
    those of visible positions are computed.
    """

    @staticmethod
    def forward(
        ctx: Any, blocks_NCss: Tensor, weight: Tensor, flat: Tensor, reach: Reach, groups: int, kernels: Kernels
    ) -> Tensor:
        windows = gather_windows(blocks_NCss, flat, window_size(blocks_NCss.shape[2], reach), kernels=kernels)
        ctx.save_for_backward(blocks_NCss, weight, flat)
        ctx.reach, ctx.groups, ctx.kernels = reach, groups, kernels
        return F.conv2d(windows, weight, None, 1, 0, reach.dilation, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_NOss: Tensor) -> tuple[Tensor | None, ...]:
        blocks_NCss, weight, flat = ctx.saved_tensors
        reach, groups = ctx.reach, ctx.groups
        size = window_size(blocks_NCss.shape[2], reach)
        grad_blocks = grad_weight = None
        if ctx.needs_input_grad[0]:
            flipped = _adjoint_kernel(weight, groups)
            windows = gather_windows(grad_NOss, flat, size, kernels=ctx.kernels)
            grad_blocks = F.conv2d(windows, flipped, None, 1, 0, reach.dilation, groups)
        if ctx.needs_input_grad[1]:
            windows = gather_windows(blocks_NCss, flat, size, kernels=ctx.kernels)
            grad_weight = _weight_gradient(grad_NOss, windows, weight, 1, reach.dilation, groups)
        return grad_blocks, grad_weight, None, None, None, None


def _adjoint_kernel(weight: Tensor, groups: int) -> Tensor:
    """The adjoint's kernel: input and output channels exchanged within each group, taps reversed."""
    flipped = weight.flip(2, 3)
    if groups == 1:
        return flipped.transpose(0, 1).contiguous(memory_format=torch.channels_last)
    outputs, inputs, height, width = flipped.shape
    return flipped.view(groups, outputs // groups, inputs, height, width).transpose(1, 2).flatten(0, 1)


def _weight_gradient(
    grad: Tensor, inputs: Tensor, weight: Tensor, stride: int, dilation: tuple[int, int], groups: int
) -> Tensor:
    grad_weight: Tensor = torch.ops.aten.convolution_backward(
        grad,
        inputs,
        weight,
        None,
        [stride, stride],
        [0, 0],
        list(dilation),
        False,
        [0, 0],
        groups,
        [False, True, False],
    )[1]
    return grad_weight
