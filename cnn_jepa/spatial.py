"""Convolution and pooling on visible blocks, in the ways that pay at different block sizes.

- tiles: blocks with their halo, as one batch of small images, for an ordinary operation without padding;
- taps: for each tap of the kernel, the pairs of visible positions it joins, and a matrix product: nothing is spent on
  neighbours that are hidden, most of them where blocks are down to a few cells;
- dense: the whole map with zeros at hidden cells, for operations whose halo would be larger than the block.

Shape suffixes: N visible blocks, C O channels in and out, s side of a block, u v of a window, R rows (positions).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cnn_jepa.layout import TapBounds, significant_unit
from cnn_jepa.tracing import Reach


def as_rows(blocks_NCss: Tensor) -> Tensor:
    """Blocks as rows `(N s s, C)`."""
    return blocks_NCss.permute(0, 2, 3, 1).reshape(-1, blocks_NCss.shape[1])


def as_blocks(rows_RC: Tensor, height: int, width: int) -> Tensor:
    """Rows as blocks `(N, C, height, width)`, channels last in memory."""
    return rows_RC.view(-1, height, width, rows_RC.shape[1]).permute(0, 3, 1, 2)


def gather_windows(blocks_NCss: Tensor, flat: Tensor, size: tuple[int, int], outside: float = 0.0) -> Tensor:
    """Blocks with their halo `(N, C, u, v)`: hidden positions are zero, those outside the image `outside`."""
    rows_RC = as_rows(blocks_NCss)
    ends = rows_RC.new_zeros(2, rows_RC.shape[1])
    if outside:
        ends[1] = outside
    return as_blocks(torch.cat((rows_RC, ends)).index_select(0, flat), *size)


def _fold(grad_NCuv: Tensor, side: int, before: tuple[int, int], halo: Tensor, origin: Tensor) -> Tensor:
    """The adjoint of gathering windows: what a block's own part got, and what its neighbours' halos got."""
    count, channels, height, width = grad_NCuv.shape
    grad_NssC = grad_NCuv.new_zeros(count, side, side, channels)
    rows, columns = min(side, height - before[0]), min(side, width - before[1])
    inner = grad_NCuv[:, :, before[0] : before[0] + rows, before[1] : before[1] + columns]
    grad_NssC[:, :rows, :columns] = inner.permute(0, 2, 3, 1)
    grad_NssC.view(-1, channels).index_add_(0, origin, as_rows(grad_NCuv).index_select(0, halo))
    return grad_NssC.permute(0, 3, 1, 2)


class TapIndex(NamedTuple):
    """Pairs of rows by tap: which are read, which are made, and how to sum what goes to each.

    The last four are in the form of bags: the pairs of each row in order, and where each row's begin.
    """

    read: Tensor
    made: Tensor
    made_order: Tensor
    made_starts: Tensor
    read_order: Tensor
    read_starts: Tensor


class Windows(torch.autograd.Function):
    """Blocks with their halo, differentiable."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        blocks_NCss: Tensor,
        flat: Tensor,
        halo: Tensor,
        origin: Tensor,
        size: tuple[int, int],
        before: tuple[int, int],
        outside: float,
    ) -> Tensor:
        ctx.save_for_backward(halo, origin)
        ctx.side, ctx.before = blocks_NCss.shape[2], before
        return gather_windows(blocks_NCss, flat, size, outside)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_NCuv: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        halo, origin = ctx.saved_tensors
        return _fold(grad_NCuv, ctx.side, ctx.before, halo, origin), None, None, None, None, None, None


class _SameConv(torch.autograd.Function):
    """A convolution of stride 1 whose windows reach equally far on both sides.

    Its adjoint is the same operation with the kernel turned round: gradients are gathered, not scattered, and only those
    of visible positions are computed.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, blocks_NCss: Tensor, weight: Tensor, flat: Tensor, reach: Reach, groups: int
    ) -> Tensor:
        windows = gather_windows(blocks_NCss, flat, window_size(blocks_NCss.shape[2], reach))
        ctx.save_for_backward(blocks_NCss, weight, flat)
        ctx.reach, ctx.groups = reach, groups
        return F.conv2d(windows, weight, None, 1, 0, reach.dilation, groups)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_NOss: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        blocks_NCss, weight, flat = ctx.saved_tensors
        reach, groups = ctx.reach, ctx.groups
        size = window_size(blocks_NCss.shape[2], reach)
        grad_blocks = grad_weight = None
        if ctx.needs_input_grad[0]:
            turned = _turned(weight, groups)
            grad_blocks = F.conv2d(gather_windows(grad_NOss, flat, size), turned, None, 1, 0, reach.dilation, groups)
        if ctx.needs_input_grad[1]:
            windows = gather_windows(blocks_NCss, flat, size)
            grad_weight = _weight_gradient(grad_NOss, windows, weight, 1, reach.dilation, groups)
        return grad_blocks, grad_weight, None, None, None


def _turned(weight: Tensor, groups: int) -> Tensor:
    """The adjoint's kernel: input and output channels exchanged within each group, taps reversed."""
    turned = weight.flip(2, 3)
    if groups == 1:
        return turned.transpose(0, 1).contiguous(memory_format=torch.channels_last)
    split = turned.unflatten(0, (groups, -1)).transpose(1, 2)
    return split.flatten(0, 1)


def _weight_gradient(
    grad: Tensor, inputs: Tensor, weight: Tensor, stride: int, dilation: tuple[int, int], groups: int
) -> Tensor:
    found: Tensor = torch.ops.aten.convolution_backward(
        grad, inputs, weight, None, [stride, stride], [0, 0], list(dilation), False, [0, 0], groups, [False, True, False]
    )[1]
    return found


class _TapConv(torch.autograd.Function):
    """A convolution as a matrix product per tap, over the pairs of visible positions that the tap joins.

    Pairs are sorted by tap: `pairs` gives the row read and the row made, `bounds` where each tap's pairs begin. Products
    are summed per row made by an embedding bag, which accumulates in float32; the way back does the same per row read.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, rows_RC: Tensor, weight: Tensor, bounds: TapBounds, index: TapIndex
    ) -> Tensor:
        read = _read(rows_RC, index, bounds)
        products = read.new_empty(len(read), len(weight))
        for (row, column), pairs in _taps(weight, bounds):
            torch.mm(read[pairs], weight[:, :, row, column].t(), out=products[pairs])
        ctx.save_for_backward(rows_RC, weight, *index)
        ctx.bounds = bounds
        return _sum_bags(products, index.made_order, index.made_starts)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_RO: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        rows_RC, weight, *tensors = ctx.saved_tensors
        index = TapIndex(*tensors)
        needs_rows, needs_weight = ctx.needs_input_grad[:2]
        grad_products = grad_RO.index_select(0, index.made)
        grad_rows = grad_weight = None
        if needs_weight:
            read = _read(rows_RC, index, ctx.bounds)
            taps_first = weight.new_empty(*weight.shape[2:], *weight.shape[:2])
            for (row, column), pairs in _taps(weight, ctx.bounds):
                torch.mm(grad_products[pairs].t(), read[pairs], out=taps_first[row, column])
            grad_weight = taps_first.permute(2, 3, 0, 1)
        if needs_rows:
            grad_read = rows_RC.new_empty(len(index.read), rows_RC.shape[1])
            for (row, column), pairs in _taps(weight, ctx.bounds):
                torch.mm(grad_products[pairs], weight[:, :, row, column], out=grad_read[pairs])
            grad_rows = _sum_bags(grad_read, index.read_order, index.read_starts)
        return grad_rows, grad_weight, None, None


def _taps(weight: Tensor, bounds: TapBounds) -> list[tuple[tuple[int, int], slice]]:
    places = [(row, column) for row in range(weight.shape[2]) for column in range(weight.shape[3])]
    return [(place, slice(bounds.starts[k], bounds.starts[k + 1])) for k, place in enumerate(places)]


def _read(rows_RC: Tensor, index: TapIndex, bounds: TapBounds) -> Tensor:
    """The rows that pairs read; zero where a pair only fills up."""
    read = rows_RC.index_select(0, index.read)
    for start, count, end in zip(bounds.starts, bounds.counts, bounds.starts[1:], strict=False):
        read[start + count : end] = 0
    return read


def _sum_bags(values: Tensor, order: Tensor, starts: Tensor) -> Tensor:
    """Row k is the sum of `values[order[starts[k]:starts[k + 1]]]`."""
    return F.embedding_bag(order, values, starts, mode="sum", include_last_offset=True)


class _Product(torch.autograd.Function):
    """Rows times a matrix `(O, C)`."""

    @staticmethod
    def forward(ctx: Any, rows_RC: Tensor, matrix_OC: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(rows_RC, matrix_OC)
        return _rows_times(rows_RC, matrix_OC.t())

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_RO: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        rows_RC, matrix_OC = ctx.saved_tensors
        needs_rows, needs_matrix = ctx.needs_input_grad
        grad_rows = _rows_times(grad_RO, matrix_OC) if needs_rows else None
        if not needs_matrix:
            return grad_rows, None
        whole, rest = _split(grad_RO, rows_RC)
        grad_matrix = whole[0].t() @ whole[1]
        return grad_rows, grad_matrix if rest is None else grad_matrix.addmm_(rest[0].t(), rest[1])


def _rows_times(rows_RK: Tensor, matrix: Tensor) -> Tensor:
    (whole,), rest = _split(rows_RK)
    if rest is None:
        return rows_RK @ matrix
    made = rows_RK.new_empty(len(rows_RK), matrix.shape[1])
    torch.mm(whole, matrix, out=made[: len(whole)])
    made[len(whole) :] = (rest[0] @ matrix)[: len(rows_RK) - len(whole)]
    return made


def _split(*tensors: Tensor) -> tuple[list[Tensor], list[Tensor] | None]:
    """Rows up to a number that comes up often, and the rest of them filled up with zeros to one that does.

    For bfloat16 on CPUs, where oneDNN spends milliseconds on compiling a product of a shape that it has not met.
    """
    count, first = len(tensors[0]), tensors[0]
    unit = significant_unit(count) if first.dtype == torch.bfloat16 and first.device.type == "cpu" else 1
    even = count // unit * unit
    if even == count:
        return list(tensors), None
    rests = [tensor.new_zeros(unit, tensor.shape[1]) for tensor in tensors]
    for rest, tensor in zip(rests, tensors, strict=True):
        rest[: count - even] = tensor[even:]
    return [tensor[:even] for tensor in tensors], rests


class _Thin(torch.autograd.Function):
    """Every n-th row and column of blocks; torch's own slicing loses the memory layout on the way back."""

    @staticmethod
    def forward(ctx: Any, blocks_NCss: Tensor, stride: int) -> Tensor:  # type: ignore[override]
        ctx.shape, ctx.stride = blocks_NCss.shape, stride
        return blocks_NCss[:, :, ::stride, ::stride].contiguous(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        count, channels, height, width = ctx.shape
        whole = grad.new_zeros(count, height, width, channels).permute(0, 3, 1, 2)
        whole[:, :, :: ctx.stride, :: ctx.stride] = grad
        return whole, None


class _Place(torch.autograd.Function):
    """Rows at distinct positions of a map that is zero elsewhere; and back, which is its adjoint."""

    @staticmethod
    def forward(ctx: Any, rows_RC: Tensor, positions: Tensor, total: int) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(positions)
        return rows_RC.new_zeros(total, rows_RC.shape[1]).index_copy_(0, positions, rows_RC)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (positions,) = ctx.saved_tensors
        return grad.index_select(0, positions), None, None


class _Pick(torch.autograd.Function):
    """Rows from distinct positions of a map."""

    @staticmethod
    def forward(ctx: Any, map_PC: Tensor, positions: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(positions)
        ctx.total = len(map_PC)
        return map_PC.index_select(0, positions)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_RC: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
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


def window_size(side: int, reach: Reach) -> tuple[int, int]:
    """Rows and columns of a block with its halo."""
    return reach.padding[0] + side + reach.after(0), reach.padding[1] + side + reach.after(1)


def tiles(module: nn.Conv2d, blocks_NCss: Tensor, reach: Reach, index: tuple[Tensor, ...]) -> Tensor:
    """A convolution as an ordinary one on windows."""
    flat, halo, origin = index
    blocks, weight, bias = _at_one_precision(module, blocks_NCss)
    side = blocks.shape[2]
    symmetric = all(reach.padding[axis] == reach.after(axis) for axis in range(2))
    if reach.stride == 1 and symmetric:
        made: Tensor = _SameConv.apply(blocks, weight, flat, reach, module.groups)
        return made if bias is None else made + bias.view(1, -1, 1, 1)
    windows = Windows.apply(blocks, flat, halo, origin, window_size(side, reach), reach.padding, 0.0)
    return F.conv2d(windows, weight, bias, reach.stride, 0, reach.dilation, module.groups)


def taps(module: nn.Conv2d, blocks_NCss: Tensor, reach: Reach, index: TapIndex, bounds: TapBounds) -> Tensor:
    """A convolution as matrix products over the pairs of visible positions."""
    blocks, weight, bias = _at_one_precision(module, blocks_NCss)
    side = blocks.shape[2] // reach.stride
    made: Tensor = _TapConv.apply(as_rows(blocks), weight, bounds, index)
    return as_blocks(made if bias is None else made + bias, side, side)


def dense(
    module: nn.Conv2d, blocks_NCss: Tensor, reach: Reach, index: tuple[Tensor, ...], grid: tuple[int, int, int]
) -> Tensor:
    """A convolution of the whole batch's maps, with zeros at hidden cells; `grid` is (B, h, w)."""
    read, written = index
    side = blocks_NCss.shape[2]
    maps = place(as_rows(blocks_NCss), read, (grid[0], grid[1] * side, grid[2] * side))
    made = pick(module(maps), written)
    return as_blocks(made, side // reach.stride, side // reach.stride)


def local(module: nn.Module, blocks_NCss: Tensor, reach: Reach) -> Tensor:
    """An operation that reads nothing outside its block."""
    if not isinstance(module, nn.Conv2d) or module.groups > 1 or not _tiles_plane(reach):
        same: Tensor = module(blocks_NCss)
        return same
    blocks, weight, bias = _at_one_precision(module, blocks_NCss)
    side, stride = blocks.shape[2] // reach.stride, reach.stride
    if reach.kernel == (1, 1):
        rows_RC = as_rows(blocks if stride == 1 else _Thin.apply(blocks, stride))
        matrix = weight.flatten(1)
    else:
        split = blocks.unflatten(3, (side, stride)).unflatten(2, (side, stride))
        rows_RC = split.permute(0, 2, 4, 3, 5, 1).reshape(-1, stride * stride * blocks.shape[1])
        matrix = weight.permute(0, 2, 3, 1).flatten(1)
    made: Tensor = _Product.apply(rows_RC, matrix)
    return as_blocks(made if bias is None else made + bias, side, side)


def _tiles_plane(reach: Reach) -> bool:
    """Whether each output position reads positions that no other one reads: a matrix product of rows."""
    return reach.kernel == (1, 1) or (reach.kernel == (reach.stride, reach.stride) and reach.dilation == (1, 1))


def pool(module: nn.Module, blocks_NCss: Tensor, reach: Reach, index: tuple[Tensor, ...]) -> Tensor:
    """Pooling: hidden neighbours are zero, positions outside the image are what the operation pads with."""
    flat, halo, origin = index
    largest = isinstance(module, nn.MaxPool2d)
    size = window_size(blocks_NCss.shape[2], reach)
    outside = float("-inf") if largest else 0.0
    windows = Windows.apply(blocks_NCss, flat, halo, origin, size, reach.padding, outside)
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


def batch_norm(norm: nn.BatchNorm2d, blocks_NCss: Tensor) -> Tensor:
    """Batch norm over visible positions.

    Raises:
        ValueError: fewer than two of them in training.
    """
    rows = len(blocks_NCss) * blocks_NCss.shape[2] * blocks_NCss.shape[3]
    if norm.training and rows < 2:
        raise ValueError(f"batch norm sees {rows} visible positions in training; it needs at least 2")
    return norm(blocks_NCss)


def cut(images_BCHW: Tensor, cells: Tensor, side: int) -> Tensor:
    """The visible blocks of images, `(N, C, side, side)`; `cells` are their numbers in the batch."""
    batch, channels, height, width = images_BCHW.shape
    split = images_BCHW.view(batch, channels, height // side, side, width // side, side)
    patches = split.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side * channels)
    picked: Tensor = _Pick.apply(patches, cells)
    return picked.view(-1, side, side, channels).permute(0, 3, 1, 2)


def working_dtype(values: Tensor) -> torch.dtype:
    """The precision convolutions run at: autocast's where it is on, which leaves float64 alone."""
    device = values.device.type
    if values.dtype != torch.float64 and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return values.dtype


def _at_one_precision(module: nn.Conv2d, blocks: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Input, weight and bias at the working precision; our own functions are not on autocast's list."""
    dtype = working_dtype(blocks)
    bias = None if module.bias is None else module.bias.to(dtype)
    return blocks.to(dtype), module.weight.to(dtype), bias
