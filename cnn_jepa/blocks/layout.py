"""Index tensors of a forward pass: where visible blocks are, and which of their neighbours are visible.

They are computed on the CPU, from the mask's copy there, and then moved to the device: no step waits for the device.

Shape suffixes: B images, h w cells of the grid, N visible cells of the batch, s side of a block in positions, R = N s s
rows (positions of all visible blocks, block by block), u v rows and columns of a window (a block with its halo).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cnn_jepa.masking import Masks

if TYPE_CHECKING:
    from cnn_jepa.program import Reach

_HIDDEN, _OUTSIDE = -1, -2


@dataclass(frozen=True)
class Need:
    """An index that an operation needs; equal needs share one."""

    form: str  # windows | readers | columns | taps | dense | depthwise
    side: int
    reach: Reach


class Layout:
    """The visible blocks of one batch, from a boolean mask on the CPU."""

    def __init__(self, context_Bhw: Tensor) -> None:
        self.grid = (context_Bhw.shape[1], context_Bhw.shape[2])
        self.batch_size = len(context_Bhw)
        flat = context_Bhw.flatten()
        self._cells_N3 = context_Bhw.nonzero()
        self.cells = flat.nonzero().squeeze(1)
        slots = flat.cumsum(0).sub_(1).masked_fill_(~flat, _HIDDEN)
        self._slots_Bhw = slots.view(context_Bhw.shape)
        self._made: dict[Need, tuple[Tensor, ...]] = {}
        self._neighbours: dict[int, Tensor] = {}
        self._windows: dict[tuple[int, Reach], Tensor] = {}

    def __len__(self) -> int:
        return len(self.cells)

    def get(self, need: Need) -> tuple[Tensor, ...]:
        """The tensors of an index, on the CPU."""
        if need not in self._made:
            make = {
                "windows": self._window_index,
                "readers": self._reader_index,
                "columns": self._columns_index,
                "taps": self._tap_index,
                "dense": self._dense_index,
                "depthwise": self._depthwise_index,
            }
            self._made[need] = make[need.form](need.side, need.reach)
        return self._made[need]

    def blocks_around(self, reach: int) -> Tensor:
        """Slots `(N, 2 reach + 1, 2 reach + 1)` of the blocks around each visible one; -1 hidden, -2 outside."""
        if reach not in self._neighbours:
            rows, columns = self.grid
            padded = torch.full((self.batch_size, rows + 2 * reach, columns + 2 * reach), _OUTSIDE)
            padded[:, reach : reach + rows, reach : reach + columns] = self._slots_Bhw
            image, row, column = self._cells_N3.unbind(1)
            around = torch.arange(2 * reach + 1)
            self._neighbours[reach] = padded[
                image.view(-1, 1, 1),
                (row.unsqueeze(1) + around).unsqueeze(2),
                (column.unsqueeze(1) + around).unsqueeze(1),
            ]
        return self._neighbours[reach]

    def windows(self, side: int, reach: Reach) -> Tensor:
        """Rows `(N, u, v)` that each window reads; R marks a hidden position, R + 1 one outside the image."""
        key = (side, reach)
        if key not in self._windows:
            positions = [torch.arange(-reach.padding[axis], side + reach.after(axis)) for axis in range(2)]
            steps = [p.div(side, rounding_mode="floor") for p in positions]
            far = max(int(o.abs().max()) for o in steps)
            inner = [p - o * side for p, o in zip(positions, steps, strict=True)]
            near = self.blocks_around(far)[:, steps[0] + far][:, :, steps[1] + far]
            rows = near * (side * side) + (inner[0].unsqueeze(1) * side + inner[1])
            count = len(self) * side * side
            self._windows[key] = torch.where(near < 0, count - 1 - near, rows)
        return self._windows[key]

    def _window_index(self, side: int, reach: Reach) -> tuple[Tensor, ...]:
        """All rows of the windows; the visible halo positions among them; the rows of those positions."""
        windows_Nuv = self.windows(side, reach)
        is_halo = windows_Nuv < len(self) * side * side
        before = reach.padding
        is_halo[:, before[0] : before[0] + side, before[1] : before[1] + side] = False
        flat = windows_Nuv.flatten()
        halo = is_halo.flatten().nonzero().squeeze(1)
        return flat, halo, flat[halo]

    def _reader_index(self, side: int, reach: Reach) -> tuple[Tensor, ...]:
        """All rows of the windows, and the K readers `(N s s K)` of each row: positions of windows, or their number.

        A row is read by its own block's window, and by those of visible neighbours whose halo it is in.
        """
        windows_Nuv = self.windows(side, reach)
        height, width = windows_Nuv.shape[1:]
        down, rows = _readers_of(side, reach.padding[0], height)
        right, columns = _readers_of(side, reach.padding[1], width)
        far = max(int(steps.abs().max()) for steps in (down, right))
        # Along the axes: blocks, rows of a block, its columns, readers above and below, readers to the sides.
        down, rows = (x[:, None, :, None] for x in (down, rows))
        right, columns = (x[None, :, None, :] for x in (right, columns))
        blocks = self.blocks_around(far)[:, down + far, right + far]
        read = (blocks >= 0) & (rows >= 0) & (columns >= 0)
        positions = blocks * (height * width) + rows * width + columns
        return windows_Nuv.flatten(), torch.where(read, positions, windows_Nuv.numel()).flatten()

    def _tap_index(self, side: int, reach: Reach) -> tuple[Tensor, ...]:
        """Where each tap's pairs begin and the real ones end; the pairs of rows; bags by written and by read row."""
        count = len(self) * side * side
        read_TR = torch.stack([tap.flatten() for tap in self._taps(side, reach)])
        exists_TR = read_TR < count
        # Sizes of products are rounded up, so that they recur: oneDNN compiles a kernel for each new size.
        pairs_T = exists_TR.sum(1)
        units_T = torch.tensor([significant_unit(n) for n in pairs_T.tolist()])
        room_T = (pairs_T + units_T - 1).div(units_T, rounding_mode="floor") * units_T
        ends_T, tap, to = room_T.cumsum(0), *exists_TR.nonzero().unbind(1)
        slot = torch.arange(len(tap)) + (ends_T - room_T - pairs_T.cumsum(0) + pairs_T)[tap]
        read = torch.full((int(ends_T[-1]),), -1)
        read[slot] = read_TR[tap, to]
        written = torch.zeros_like(read)
        written[slot] = to
        starts_T = torch.cat((torch.zeros(1, dtype=torch.int64), ends_T))
        bounds = torch.stack((starts_T, torch.cat((starts_T[:-1] + pairs_T, starts_T[-1:]))))
        made_bags, read_bags = _bags(to, slot, read_TR.shape[1]), _bags(read[slot], slot, count)
        return (bounds, read.clamp_(min=0), written, *made_bags, *read_bags)

    def _columns_index(self, side: int, reach: Reach) -> tuple[Tensor, ...]:
        """For each position the rows that the taps of the kernel read, side by side."""
        return (torch.stack(self._taps(side, reach), dim=-1).flatten(),)

    def _taps(self, side: int, reach: Reach) -> list[Tensor]:
        """For each tap of the kernel the row that it reads for each output position, as in `windows`."""
        windows_Nuv = self.windows(side, reach)
        extent = (side // reach.stride - 1) * reach.stride + 1
        taps: list[Tensor] = []
        for row in range(reach.kernel[0]):
            for column in range(reach.kernel[1]):
                top, left = row * reach.dilation[0], column * reach.dilation[1]
                read = windows_Nuv[:, top : top + extent : reach.stride, left : left + extent : reach.stride]
                taps.append(read)
        return taps

    def _dense_index(self, side: int, reach: Reach) -> tuple[Tensor, ...]:
        """Positions, in the whole batch's maps, of the rows that are read and of those that are written."""
        return self.positions(side), self.positions(side // reach.stride)

    def _depthwise_index(self, side: int, reach: Reach) -> tuple[Tensor, ...]:
        """Positions of the rows in the whole batch's maps, and all rows of the windows."""
        return self.positions(side), self.windows(side, reach).flatten()

    def positions(self, side: int) -> Tensor:
        """The position of each row among the `(B, h side, w side)` positions of the batch."""
        image, row, column = (axis.view(-1, 1, 1) for axis in self._cells_N3.unbind(1))
        inner = torch.arange(side)
        rows = image * (self.grid[0] * side) + row * side + inner.view(-1, 1)
        return (rows * (self.grid[1] * side) + column * side + inner).flatten()


def _readers_of(side: int, before: int, extent: int) -> tuple[Tensor, Tensor]:
    """Which blocks' windows read each place of a block along an axis, and at which place of theirs, both `(s, K)`.

    Blocks are counted from the place's own; a place of -1 fills up where a place has fewer than K readers.
    """
    reach = -(-max(before, extent - before - side) // side)
    readers = [
        [(step, place) for step in range(-reach, reach + 1) if 0 <= (place := before + own - step * side) < extent]
        for own in range(side)
    ]
    most = max(1, *(len(each) for each in readers))
    filled = torch.tensor([each + [(0, -1)] * (most - len(each)) for each in readers])
    return filled[..., 0], filled[..., 1]


def significant_unit(count: int) -> int:
    """The largest power of two that divides every number of this size with five significant bits."""
    return 1 << max(count.bit_length() - 5, 0)


def _bags(rows_P: Tensor, slots_P: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The slots of pairs ordered by row, and where those of each row begin."""
    starts = torch.zeros(count + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(rows_P, minlength=count).cumsum(0)
    return slots_P[rows_P.argsort(stable=True)], starts


def context_on_host(context: Masks | Tensor) -> Tensor:
    """The context mask on the CPU; waits for the device only if the mask is a tensor on it."""
    return (context.host.context_Bhw if isinstance(context, Masks) else context).cpu()


def carry(tensors: list[Tensor], device: torch.device) -> list[Tensor]:
    """Moves index tensors `(n,)` to the device in one asynchronous transfer; tables `(m, n)` stay on the CPU."""
    flat = [t for t in tensors if t.ndim == 1]
    if device.type == "cpu" or not flat:
        return tensors
    joined = torch.cat(flat)
    joined = joined.pin_memory() if device.type == "cuda" else joined
    moved = iter(torch.split(joined.to(device, non_blocking=True), [len(t) for t in flat]))
    return [next(moved) if t.ndim == 1 else t for t in tensors]
