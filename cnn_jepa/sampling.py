"""Draws masks for a whole batch at once.

Shape suffixes: B images, M target blocks, h w cells of the grid, N = h x w, K hidden cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cnn_jepa.masking import Masks, MaskSpec, block_size, check_spec, feasible_sizes

_DRAWS = 24  # per image; the one whose union is nearest to the target share is used
_BITS = 14  # columns of the grid that are counted at once
_ONES = torch.tensor([number.bit_count() for number in range(2**_BITS)], dtype=torch.uint8)
_TRIES = 4  # redraws of images with too little context, before one block replaces all of theirs


def sample_masks(spec: MaskSpec, batch_size: int, grid: tuple[int, int], generator: torch.Generator) -> Masks:
    """Draws the masks of a batch, on the CPU.

    Args:
        grid: rows and columns of the feature map.

    Returns:
        Context and targets; `random` masks are one target block per image.

    Raises:
        ValueError: the spec cannot be drawn on this grid (`check_spec`).
    """
    check_spec(spec, grid)
    strategy = spec.strategy
    if strategy == "mixed":
        # One draw per batch, as published: the two kinds differ in the number of visible cells.
        blocks = torch.rand((), generator=generator).item() < spec.multi_block_share
        strategy = "multi_block" if blocks else "random"
    if strategy == "random":
        share = spec.mask_ratio if spec.target_share is None else spec.target_share
        noise_BN = torch.rand(batch_size, grid[0] * grid[1], generator=generator)
        hidden_BN = _smallest(noise_BN, round(share * grid[0] * grid[1]))
        hidden_Bhw = hidden_BN.view(batch_size, *grid)
        return Masks(~hidden_Bhw, hidden_Bhw.unsqueeze(1))
    if spec.target_share is not None and spec.block_sizes is not None:
        targets_BMhw = _blocks_near_share(spec, batch_size, grid, generator, spec.target_share)
    elif spec.target_share is not None:
        targets_BMhw = _blocks_of_share(spec, batch_size, grid, generator, spec.target_share)
    else:
        targets_BMhw = _blocks(spec, batch_size, grid, generator)
    return Masks(_context(spec, targets_BMhw, generator), targets_BMhw)


def _smallest(values_BN: Tensor, count: int) -> Tensor:
    """Boolean `(B, N)`: the `count` smallest values of each row."""
    chosen = torch.zeros_like(values_BN, dtype=torch.bool)
    return chosen.scatter_(1, values_BN.topk(count, dim=1, largest=False, sorted=False).indices, True)


def _draw_sizes(spec: MaskSpec, shape: tuple[int, int], grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Heights and widths `(2, B, M)`, int64."""
    drawn = (1, 1) if spec.same_size else shape
    if spec.block_sizes is not None:
        sizes = torch.tensor(feasible_sizes(spec, grid))
        chosen = sizes[torch.randint(len(sizes), drawn, generator=generator)]
        heights, widths = chosen.unbind(-1)
    else:
        uniform = torch.rand(2, *drawn, generator=generator, dtype=torch.float64)
        scale = spec.block_scale[0] + uniform[0] * (spec.block_scale[1] - spec.block_scale[0])
        aspect = spec.block_aspect[0] + uniform[1] * (spec.block_aspect[1] - spec.block_aspect[0])
        area = scale * (grid[0] * grid[1])
        heights = (area * aspect).sqrt().round().long().clamp(1, grid[0])
        widths = (area / aspect).sqrt().round().long().clamp(1, grid[1])
        room = grid[0] * grid[1] - spec.min_context
        widths = torch.minimum(widths, (room // heights).clamp(min=1))
        heights = torch.minimum(heights, room // widths)
    return torch.stack((heights, widths)).expand(2, *shape)


def _place(sizes: Tensor, grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Offsets `(2, B, M)` of blocks inside the grid, each possible one equally likely."""
    free = torch.tensor(grid).view(2, 1, 1) - sizes + 1
    uniform = torch.rand(sizes.shape, generator=generator, dtype=torch.float64)
    return (uniform * free).long()


def _rectangles(offsets: Tensor, sizes: Tensor, grid: tuple[int, int]) -> Tensor:
    """Boolean `(B, M, h, w)` from offsets and sizes `(2, B, M)`."""
    inside = []
    for axis, extent in enumerate(grid):
        start = offsets[axis].unsqueeze(-1)
        cells = torch.arange(extent)
        inside.append((cells >= start) & (cells < start + sizes[axis].unsqueeze(-1)))
    return inside[0].unsqueeze(-1) & inside[1].unsqueeze(-2)


def _union_cells(offsets: Tensor, sizes: Tensor, grid: tuple[int, int]) -> Tensor:
    """How many cells the blocks of each draw cover together, int64 `(B,)`, from offsets and sizes `(2, B, M)`.

    Each row of the grid is the bits of integers, so that many draws are counted without making their maps.
    """
    draws, blocks = offsets.shape[1:]
    rows, counts_B = torch.arange(grid[0], dtype=torch.int16), torch.zeros(draws, dtype=torch.long)
    top_BM, bottom_BM = offsets[0].short(), (offsets[0] + sizes[0]).short()
    for left in range(0, grid[1], _BITS):
        start, stop = (edge.clamp(left, left + _BITS) - left for edge in (offsets[1], offsets[1] + sizes[1]))
        bits_BM = ((1 << stop) - (1 << start)).short()
        union_Bh = torch.zeros(draws, grid[0], dtype=torch.int16)
        for block in range(blocks):
            inside_Bh = (rows >= top_BM[:, block, None]) & (rows < bottom_BM[:, block, None])
            union_Bh |= bits_BM[:, block, None] * inside_Bh
        counts_B += _ONES.index_select(0, union_Bh.flatten().int()).view(draws, -1).sum(1)
    return counts_B


def _blocks(spec: MaskSpec, batch_size: int, grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Target blocks `(B, M, h, w)` that leave `min_context` cells."""
    sizes = _draw_sizes(spec, (batch_size, spec.num_blocks), grid, generator)
    room = grid[0] * grid[1] - spec.min_context
    blocks = _rectangles(_place(sizes, grid, generator), sizes, grid)
    for _ in range(_TRIES):
        crowded = blocks.any(1).sum((1, 2)) > room
        if not crowded.any():
            return blocks
        redrawn = _rectangles(_place(sizes, grid, generator), sizes, grid)
        blocks = torch.where(crowded.view(-1, 1, 1, 1), redrawn, blocks)
    # One block always leaves enough context (`_draw_sizes`): images that are still crowded get it M times.
    crowded = blocks.any(1).sum((1, 2)) > room
    return torch.where(crowded.view(-1, 1, 1, 1), blocks[:, :1], blocks)


def _blocks_near_share(
    spec: MaskSpec, batch_size: int, grid: tuple[int, int], generator: torch.Generator, share: float
) -> Tensor:
    """Blocks `(B, M, h, w)` of `block_sizes`, whose union is within one cell of round(share x N).

    Of several draws per image the one with the nearest union is used. Where none comes within a cell (sizes that cannot
    add up to the share), blocks are grown or shrunk to the share.
    """
    cells = grid[0] * grid[1]
    hidden, room = round(share * cells), cells - spec.min_context
    sizes = _draw_sizes(spec, (batch_size * _DRAWS, spec.num_blocks), grid, generator)
    offsets = _place(sizes, grid, generator)
    union_BT = _union_cells(offsets, sizes, grid).view(batch_size, _DRAWS)
    miss_BT = (union_BT - hidden).abs().masked_fill(union_BT > room, cells)
    # The first of equally near draws: each of them is equally likely.
    best_B = miss_BT.argmin(1)
    drawn_B = torch.arange(batch_size) * _DRAWS + best_B
    chosen_BMhw = _rectangles(offsets[:, drawn_B], sizes[:, drawn_B], grid)
    far_B = miss_BT.gather(1, best_B.unsqueeze(1)).squeeze(1) > 1
    if far_B.any():
        grown_BMhw = _blocks_of_share(spec, batch_size, grid, generator, share)
        chosen_BMhw = torch.where(far_B.view(-1, 1, 1, 1), grown_BMhw, chosen_BMhw)
    return chosen_BMhw


def _blocks_of_share(
    spec: MaskSpec, batch_size: int, grid: tuple[int, int], generator: torch.Generator, share: float
) -> Tensor:
    """Target blocks `(B, M, h, w)` whose union has exactly round(share x N) cells.

    Drawn sizes only give the blocks' proportions. Their area is the one with which M independent blocks cover the share
    on average: 1 - (1 - share)^(1/M). Each cell has a distance from each block's centre that is constant along the
    block's outline. All blocks grow or shrink to one common distance, at which their union has the right number of
    cells; ties are broken at random.
    """
    cells = grid[0] * grid[1]
    heights, widths = _draw_sizes(spec, (batch_size, spec.num_blocks), grid, generator).double()
    area = cells * (1 - (1 - share) ** (1 / spec.num_blocks))
    sides = [(area * heights / widths).sqrt().clamp(1, grid[0]), (area * widths / heights).sqrt().clamp(1, grid[1])]
    along = []
    for side, extent in zip(sides, grid, strict=True):
        uniform = torch.rand(side.shape, generator=generator, dtype=torch.float64)
        centre = (side - 1) / 2 + uniform * (extent - side)
        along.append(((torch.arange(extent) - centre.unsqueeze(-1)).abs() / (side.unsqueeze(-1) / 2)).float())
    distance_BMN = torch.maximum(along[0].unsqueeze(-1), along[1].unsqueeze(-2)).flatten(2)
    noise_BN = torch.rand(batch_size, 1, cells, generator=generator) * 1e-3
    centre_BM1 = (distance_BMN + noise_BN).argmin(dim=2, keepdim=True)
    own_BMN = torch.zeros_like(distance_BMN, dtype=torch.bool).scatter_(2, centre_BM1, True)
    # Each block keeps its central cell, however small the share is.
    least_BN = distance_BMN.amin(1)
    nearest_BN = (least_BN + noise_BN.squeeze(1)).masked_fill(own_BMN.any(1), -1.0)
    hidden_BN = _smallest(nearest_BN, round(share * cells))
    level_B11 = least_BN.masked_fill(~hidden_BN, 0.0).amax(1).view(-1, 1, 1)
    targets_BMN = ((distance_BMN <= level_B11) | own_BMN) & hidden_BN.unsqueeze(1)
    return targets_BMN.view(batch_size, spec.num_blocks, *grid)


def _context(spec: MaskSpec, targets_BMhw: Tensor, generator: torch.Generator) -> Tensor:
    """The context block `(B, h, w)` without target cells, or the whole grid without them if that leaves too little."""
    free_Bhw = ~targets_BMhw.any(1)
    if spec.context_scale == (1.0, 1.0):
        return free_Bhw
    batch_size, grid = len(free_Bhw), (free_Bhw.shape[1], free_Bhw.shape[2])
    uniform = torch.rand((), generator=generator).item()
    scale = spec.context_scale[0] + uniform * (spec.context_scale[1] - spec.context_scale[0])
    side = torch.tensor(block_size(scale, 1.0, grid)).view(2, 1, 1).expand(2, batch_size, 1)
    block_Bhw = _rectangles(_place(side, grid, generator), side, grid).squeeze(1)
    context_Bhw = block_Bhw & free_Bhw
    enough = context_Bhw.sum((1, 2)) >= spec.min_context
    return torch.where(enough.view(-1, 1, 1), context_Bhw, free_Bhw)
