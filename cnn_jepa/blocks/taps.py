"""Convolution as a matrix product per tap of the kernel, over the pairs of visible positions that the tap connects.

Hidden neighbours cost nothing. Where blocks have only a few positions, most neighbours are hidden.

Shape suffixes: N visible blocks, C O channels in and out, s side of a block, u v of a window, R rows (positions), P
pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

from cnn_jepa.blocks.rows import as_blocks, as_rows, at_one_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnn_jepa.program import Reach


class TapIndex(NamedTuple):
    """Pairs of rows sorted by tap: the rows that are read, the rows that are written, and how to sum per row.

    The last four are bags: the pairs of each row in order, and where those of each row begin.
    """

    read: Tensor
    made: Tensor
    made_order: Tensor
    made_starts: Tensor
    read_order: Tensor
    read_starts: Tensor


def taps(module: nn.Conv2d, blocks_NCss: Tensor, reach: Reach, index: tuple[Tensor, ...]) -> Tensor:
    """A convolution as matrix products over pairs of visible positions; `index` is the bounds, then a `TapIndex`."""
    blocks, weight, bias = at_one_precision(module, blocks_NCss)
    side = blocks.shape[2] // reach.stride
    out: Tensor = _tap_conv(as_rows(blocks), weight, index[0], list(index[1:]))
    return as_blocks(out if bias is None else out + bias, side, side)


@torch.library.custom_op(
    "cnn_jepa::tap_conv",
    mutates_args=(),
    schema="(Tensor rows, Tensor weight, Tensor bounds, Tensor[] index) -> Tensor",
)
def _tap_conv(rows_RC: Tensor, weight: Tensor, bounds: Tensor, index: Sequence[Tensor]) -> Tensor:
    """A convolution as a matrix product per tap, over the pairs of visible positions that the tap connects.

    An embedding bag sums the products of each written row and accumulates in float32; the backward pass does the same
    for each read row. A custom operator, because compilers should not see shapes that change with every mask.
    """
    pairs = TapIndex(*index)
    read = _read(rows_RC, pairs.read, bounds)
    products = read.new_empty(len(read), len(weight))
    for (row, column), span in _taps(weight, bounds):
        torch.mm(read[span], weight[:, :, row, column].t(), out=products[span])
    return _sum_bags(products, pairs.made_order, pairs.made_starts)


@_tap_conv.register_fake
def _(rows_RC: Tensor, weight: Tensor, bounds: Tensor, index: Sequence[Tensor]) -> Tensor:
    return rows_RC.new_empty(TapIndex(*index).made_starts.shape[0] - 1, weight.shape[0])


@torch.library.custom_op(
    "cnn_jepa::tap_conv_backward",
    mutates_args=(),
    schema=(
        "(Tensor grad, Tensor rows, Tensor weight, Tensor bounds, Tensor[] index, bool needs_rows, bool needs_weight)"
        " -> (Tensor, Tensor)"
    ),
)
def _tap_conv_backward(
    grad_RO: Tensor,
    rows_RC: Tensor,
    weight: Tensor,
    bounds: Tensor,
    index: Sequence[Tensor],
    needs_rows: bool,
    needs_weight: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of rows and weight; empty where they are not needed."""
    pairs = TapIndex(*index)
    grad_products = grad_RO.index_select(0, pairs.made)
    grad_rows, grad_weight = rows_RC.new_empty(0), weight.new_empty(0)
    if needs_weight:
        read = _read(rows_RC, pairs.read, bounds)
        taps_first = weight.new_empty(*weight.shape[2:], *weight.shape[:2])
        for (row, column), span in _taps(weight, bounds):
            torch.mm(grad_products[span].t(), read[span], out=taps_first[row, column])
        grad_weight = torch.empty_like(weight).copy_(taps_first.permute(2, 3, 0, 1))
    if needs_rows:
        grad_read = rows_RC.new_empty(len(pairs.read), rows_RC.shape[1])
        for (row, column), span in _taps(weight, bounds):
            torch.mm(grad_products[span], weight[:, :, row, column], out=grad_read[span])
        grad_rows = _sum_bags(grad_read, pairs.read_order, pairs.read_starts)
    return grad_rows, grad_weight


@_tap_conv_backward.register_fake
def _(
    grad_RO: Tensor,
    rows_RC: Tensor,
    weight: Tensor,
    bounds: Tensor,
    index: Sequence[Tensor],
    needs_rows: bool,
    needs_weight: bool,
) -> tuple[Tensor, Tensor]:
    grad_rows = rows_RC.new_empty(rows_RC.shape if needs_rows else 0)
    return grad_rows, torch.empty_like(weight) if needs_weight else weight.new_empty(0)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    rows_RC, weight, bounds, index = inputs
    ctx.save_for_backward(rows_RC, weight, bounds, *index)


def _backward(ctx: Any, grad_RO: Tensor) -> tuple[Any, ...]:
    rows_RC, weight, bounds, *index = ctx.saved_tensors
    needs = ctx.needs_input_grad[:2]
    grad_rows, grad_weight = _tap_conv_backward(grad_RO, rows_RC, weight, bounds, index, *needs)
    return grad_rows if needs[0] else None, grad_weight if needs[1] else None, None, [None] * len(index)


_tap_conv.register_autograd(_backward, setup_context=_save_for_backward)


@register_flop_formula(torch.ops.cnn_jepa.tap_conv)
def _tap_flops(
    rows_RC: Sequence[int], weight: Sequence[int], bounds: Any, index: Sequence[Sequence[int]], **_: Any
) -> int:
    """For torch's FLOP counter: a product per pair, padding included, since it is computed."""
    return 2 * index[0][0] * weight[0] * weight[1]


@register_flop_formula(torch.ops.cnn_jepa.tap_conv_backward)
def _tap_backward_flops(
    grad_RO: Any,
    rows_RC: Any,
    weight: Sequence[int],
    bounds: Any,
    index: Sequence[Sequence[int]],
    needs_rows: bool,
    needs_weight: bool,
    **_: Any,
) -> int:
    return 2 * index[0][0] * weight[0] * weight[1] * (needs_rows + needs_weight)


def _taps(weight: Tensor, bounds: Tensor) -> list[tuple[tuple[int, int], slice]]:
    starts = bounds[0].tolist()
    positions = [(row, column) for row in range(weight.shape[2]) for column in range(weight.shape[3])]
    return [(position, slice(starts[k], starts[k + 1])) for k, position in enumerate(positions)]


def _read(rows_RC: Tensor, read: Tensor, bounds: Tensor) -> Tensor:
    """The rows that pairs read; zero at padding."""
    rows_PC = rows_RC.index_select(0, read)
    starts, real_ends = bounds.tolist()
    for real_end, end in zip(real_ends, starts[1:], strict=False):
        rows_PC[real_end:end] = 0
    return rows_PC


def _sum_bags(values: Tensor, order: Tensor, starts: Tensor) -> Tensor:
    """Row k is the sum of `values[order[starts[k]:starts[k + 1]]]`."""
    return F.embedding_bag(order, values, starts, mode="sum", include_last_offset=True)
