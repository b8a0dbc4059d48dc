"""Where visible blocks lie, and which of their neighbours are visible too: all the indices of one forward pass.

Everything is computed on the host from the mask there, and then carried to the device, so that no step waits for it.

Shape suffixes: B images, h w cells of the grid, N visible cells of the batch, s side of a block in positions, R = N s s rows
(positions of all visible blocks, block by block), u v rows and columns of a window (a block with its halo).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cnn_jepa.masking import Masks
from cnn_jepa.tracing import Reach

_HIDDEN, _OUTSIDE = -1, -2


@dataclass(frozen=True)
class Need:
    """An index that an operation asks for; equal needs share one."""

    form: str  # windows | taps | dense
    side: int
    reach: Reach


class TapBounds(NamedTuple):
    """Where each tap's pairs begin (and the last one's end), and how many of them are real; the rest fills up."""

    starts: tuple[int, ...]
    counts: tuple[int, ...]


class Layout:
    """The visible blocks of one batch.

    Args:
        context_Bhw: boolean, on the host.
    """

    def __init__(self, context_Bhw: Tensor) -> None:
        self.grid = (context_Bhw.shape[1], context_Bhw.shape[2])
        self.batch_size = len(context_Bhw)
        flat = context_Bhw.flatten()
        self._cells_N3 = context_Bhw.nonzero()
        self.cells = flat.nonzero().squeeze(1)
        slots = flat.cumsum(0).sub_(1).masked_fill_(~flat, _HIDDEN)
        self._slots_Bhw = slots.view(context_Bhw.shape)
        self.bounds: dict[tuple[int, Reach], TapBounds] = {}
        self._made: dict[Need, tuple[Tensor, ...]] = {}
        self._neighbours: dict[int, Tensor] = {}
        self._windows: dict[tuple[int, Reach], Tensor] = {}

    def __len__(self) -> int:
        return len(self.cells)

    def get(self, need: Need) -> tuple[Tensor, ...]:
        """The tensors of an index, on the host."""
        if need not in self._made:
            make = {"windows": self._window_index, "taps": self._tap_index, "dense": self._dense_index}[need.form]
            self._made[need] = make(need.side, need.reach)
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
                image.view(-1, 1, 1), (row.unsqueeze(1) + around).unsqueeze(2), (column.unsqueeze(1) + around).unsqueeze(1)
            ]
        return self._neighbours[reach]

    def windows(self, side: int, reach: Reach) -> Tensor:
        """Rows `(N, u, v)` that each window reads; R stands for a hidden position, R + 1 for one outside the image."""
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
        """All rows of the windows; then the halo's positions among them that are visible, and the rows these are."""
        windows_Nuv = self.windows(side, reach)
        is_halo = windows_Nuv < len(self) * side * side
        before = reach.padding
        is_halo[:, before[0] : before[0] + side, before[1] : before[1] + side] = False
        flat = windows_Nuv.flatten()
        halo = is_halo.flatten().nonzero().squeeze(1)
        return flat, halo, flat[halo]

    def _tap_index(self, side: int, reach: Reach) -> tuple[Tensor, ...]:
        """The pairs of rows that each tap of the kernel joins, sorted by tap, and by row made and row read."""
        windows_Nuv = self.windows(side, reach)
        count, made = len(self) * side * side, side // reach.stride
        taps: list[Tensor] = []
        for row in range(reach.kernel[0]):
            for column in range(reach.kernel[1]):
                first = (row * reach.dilation[0], column * reach.dilation[1])
                last = [f + (made - 1) * reach.stride + 1 for f in first]
                taps.append(windows_Nuv[:, first[0] : last[0] : reach.stride, first[1] : last[1] : reach.stride])
        read_TR = torch.stack([tap.flatten() for tap in taps])
        exists_TR = read_TR < count
        # Shapes of products are rounded up, so that they repeat: oneDNN compiles a kernel for each that it meets.
        pairs_T = exists_TR.sum(1)
        units_T = torch.tensor([significant_unit(n) for n in pairs_T.tolist()])
        room_T = (pairs_T + units_T - 1).div(units_T, rounding_mode="floor") * units_T
        ends_T, tap, to = room_T.cumsum(0), *exists_TR.nonzero().unbind(1)
        slot = torch.arange(len(tap)) + (ends_T - room_T - pairs_T.cumsum(0) + pairs_T)[tap]
        read = torch.full((int(ends_T[-1]),), -1)
        read[slot] = read_TR[tap, to]
        written = torch.zeros_like(read)
        written[slot] = to
        self.bounds[side, reach] = TapBounds((0, *ends_T.tolist()), tuple(pairs_T.tolist()))
        made_bags, read_bags = _bags(to, slot, read_TR.shape[1]), _bags(read[slot], slot, count)
        return (read.clamp_(min=0), written, *made_bags, *read_bags)

    def _dense_index(self, side: int, reach: Reach) -> tuple[Tensor, ...]:
        """Positions, in the whole batch's maps, of the rows that are read and of those that are made."""
        return self.positions(side), self.positions(side // reach.stride)

    def positions(self, side: int) -> Tensor:
        """Where each row lies among the `(B, h side, w side)` positions of the batch."""
        image, row, column = (axis.view(-1, 1, 1) for axis in self._cells_N3.unbind(1))
        inner = torch.arange(side)
        rows = image * (self.grid[0] * side) + row * side + inner.view(-1, 1)
        return (rows * (self.grid[1] * side) + column * side + inner).flatten()


def significant_unit(count: int) -> int:
    """What a number with five significant bits, of this size, is a multiple of."""
    return 1 << max(count.bit_length() - 5, 0)


def _bags(rows_P: Tensor, slots_P: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The slots of pairs ordered by a row of theirs, and where those of each row begin."""
    starts = torch.zeros(count + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(rows_P, minlength=count).cumsum(0)
    return slots_P[rows_P.argsort(stable=True)], starts


def check_mask(context_Bhw: Tensor, images_BCHW: Tensor, patch_size: int) -> None:
    """Refuses a mask that does not fit its images.

    Raises:
        ValueError: says what the mask is, and what was expected.
    """
    if images_BCHW.ndim != 4:
        raise ValueError(f"images have to be (B, C, H, W), not {tuple(images_BCHW.shape)}")
    if context_Bhw.dtype != torch.bool or context_Bhw.ndim != 3:
        raise ValueError(f"context has to be boolean (B, h, w), not {context_Bhw.dtype} {tuple(context_Bhw.shape)}")
    height, width = images_BCHW.shape[2:]
    if height % patch_size or width % patch_size:
        raise ValueError(f"images of {height}x{width} pixels do not divide into patches of {patch_size} pixels")
    expected = (len(images_BCHW), height // patch_size, width // patch_size)
    if tuple(context_Bhw.shape) != expected:
        raise ValueError(
            f"context is {tuple(context_Bhw.shape)}; images of {tuple(images_BCHW.shape)} in patches of {patch_size} "
            f"pixels need {expected}"
        )
    if context_Bhw.device != images_BCHW.device:
        raise ValueError(f"context lies on {context_Bhw.device}, the images on {images_BCHW.device}")


def context_on_host(context: Masks | Tensor) -> Tensor:
    """The context mask on the CPU; waits for the device only where the mask comes as a tensor that lies there."""
    return context.host.context_Bhw if isinstance(context, Masks) else context.cpu()


def carry(tensors: list[Tensor], device: torch.device) -> list[Tensor]:
    """Index tensors on the device, in one transfer that nobody waits for."""
    if device.type == "cpu" or not tensors:
        return tensors
    joined = torch.cat(tensors)
    joined = joined.pin_memory() if device.type == "cuda" else joined
    return list(joined.to(device, non_blocking=True).split([len(t) for t in tensors]))
