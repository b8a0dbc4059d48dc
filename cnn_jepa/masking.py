"""Masks: which cells of the feature grid are context, and which are targets.

Shape suffixes: B images, M target blocks, h w cells of the grid, N = h x w, K hidden cells.

Written from the papers' descriptions (CNN-JEPA, section III; I-JEPA, section 3 and appendix A). Differences from the
published samplers: the last row and column can be targets too, scale and aspect are drawn independently, and
sampling always ends: specs that cannot be drawn are refused beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class MaskSpec:
    """How masks are drawn.

    Attributes:
        strategy: `random` hides single cells, `multi_block` hides rectangles, `mixed` draws one of the two per batch.
        mask_ratio: share of the cells that `random` hides.
        multi_block_share: probability of `multi_block` within `mixed`.
        num_blocks: M, target blocks per image; they may overlap each other.
        block_scale: range of a block's area, as a share of the grid.
        block_aspect: range of a block's height / width.
        block_sizes: (height, width) of the blocks in cells, drawn uniformly; replaces scale and aspect.
        same_size: one size for all blocks of a batch (as published, so that target counts are equal), or one per block.
        context_scale: range of the context block's area (a square), before targets are cut out of it.
        min_context: fewest context cells of an image.
        target_share: share of the grid that is hidden, for every strategy. With `block_sizes` the union of the blocks
            is within one cell of it. Otherwise it is exact to a cell: the area of a block follows from the share and
            the number of blocks, and its drawn size gives only its proportions. None: the strategy decides the share.
    """

    # Makes pydantic refuse unknown keys where a configuration has a spec as a field.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    strategy: Literal["random", "multi_block", "mixed"] = "mixed"
    mask_ratio: float = 0.6
    multi_block_share: float = 0.75
    num_blocks: int = 4
    block_scale: tuple[float, float] = (0.15, 0.2)
    block_aspect: tuple[float, float] = (0.75, 1.5)
    block_sizes: tuple[tuple[int, int], ...] | None = None
    same_size: bool = True
    context_scale: tuple[float, float] = (1.0, 1.0)
    min_context: int = 4
    target_share: float | None = None

    def __post_init__(self) -> None:
        if self.strategy not in ("random", "multi_block", "mixed"):
            raise ValueError(f"strategy is '{self.strategy}'; choices: mixed, multi_block, random")
        shares = {"mask_ratio": self.mask_ratio, "target_share": self.target_share}
        for name, value in shares.items():
            if value is not None and not 0.0 < value < 1.0:
                raise ValueError(f"{name} is {value}; it has to lie between 0 and 1")
        if not 0.0 <= self.multi_block_share <= 1.0:
            raise ValueError(f"multi_block_share is {self.multi_block_share}; it is a probability")
        for name, (low, high) in (("block_scale", self.block_scale), ("context_scale", self.context_scale)):
            if not 0.0 < low <= high <= 1.0:
                raise ValueError(f"{name} is ({low}, {high}); expected 0 < low <= high <= 1")
        if not 0.0 < self.block_aspect[0] <= self.block_aspect[1]:
            raise ValueError(f"block_aspect is {self.block_aspect}; expected 0 < low <= high")
        if self.num_blocks < 1 or self.min_context < 1:
            raise ValueError(f"num_blocks and min_context are {self.num_blocks}, {self.min_context}; at least 1 each")
        if self.block_sizes is not None and (not self.block_sizes or min(map(min, self.block_sizes)) < 1):
            raise ValueError(f"block_sizes is {self.block_sizes}; expected (height, width) pairs of at least 1")


class Counts(NamedTuple):
    """Context and target cells of several images together; averages, so they need not be whole."""

    context: float
    target: float


@dataclass(frozen=True)
class Masks:
    """The masks of a batch: boolean, disjoint context and targets.

    Attributes:
        context_Bhw: what the context encoder sees.
        targets_BMhw: the target blocks; they may overlap.
        host: the same masks on the CPU; counts and indices are read from them without waiting for a device.
        counts: for a share of a batch (`slice`), the cells that as many images have on average in the whole batch; else
            None.
    """

    context_Bhw: Tensor
    targets_BMhw: Tensor
    _host: Masks | None = field(default=None, repr=False, compare=False)
    counts: Counts | None = field(default=None, repr=False, compare=False)

    @property
    def host(self) -> Masks:
        """The masks on the CPU."""
        return self._host or self

    @property
    def target(self) -> Tensor:
        """The union of an image's target blocks, `(B, h, w)`."""
        return self.targets_BMhw.any(dim=1)

    def to(self, device: torch.device | str) -> Masks:
        """The masks on a device; `host` keeps those on the CPU."""
        if self.context_Bhw.device == torch.device(device):
            return self
        context, targets = (mask.to(device, non_blocking=True) for mask in (self.context_Bhw, self.targets_BMhw))
        return Masks(context, targets, self.host, self.counts)

    def slice(self, start: int, stop: int) -> Masks:
        """The masks of images `start` to `stop`, a share of the batch; to be called before `to`.

        Images have different numbers of cells. If each share divides its sum by the cells that a share has on average
        (`counts`), then the average over equally large shares is the mean over the whole batch.
        """
        if stop - start == len(self.context_Bhw):
            return self
        part = (stop - start) / len(self.context_Bhw)
        counts = Counts(part * int(self.context_Bhw.sum()), part * int(self.target.sum()))
        return Masks(self.context_Bhw[start:stop], self.targets_BMhw[start:stop], counts=counts)


def check_fits(context_Bhw: Tensor, images_BCHW: Tensor, patch_size: int) -> None:
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
        raise ValueError(f"context is on {context_Bhw.device}, the images are on {images_BCHW.device}")


def check_spec(spec: MaskSpec, grid: tuple[int, int]) -> None:
    """Refuses a spec from which no mask can be drawn on a grid.

    Raises:
        ValueError: names the setting, the grid and what would fit.
    """
    rows, columns = grid
    cells = rows * columns
    room = cells - spec.min_context
    where = f"on the {rows}x{columns} grid"
    if room < 1:
        raise ValueError(f"min_context is {spec.min_context} {where}: no cell is left for a target")
    if spec.target_share is not None:
        hidden = round(spec.target_share * cells)
        lowest = spec.num_blocks if spec.strategy != "random" else 1
        if not lowest <= hidden <= room:
            raise ValueError(
                f"target_share is {spec.target_share}: {hidden} of {cells} cells {where}; expected "
                f"{lowest} to {room} (each block needs a cell, and min_context is {spec.min_context})"
            )
    elif spec.strategy != "multi_block":
        hidden = round(spec.mask_ratio * cells)
        if not 1 <= hidden <= room:
            raise ValueError(
                f"mask_ratio is {spec.mask_ratio}: {hidden} of {cells} cells {where}; expected 1 to {room} "
                f"(min_context is {spec.min_context})"
            )
    if spec.strategy != "random" and spec.block_sizes is not None:
        for height, width in spec.block_sizes:
            if height > rows or width > columns or height * width > room:
                raise ValueError(
                    f"no block of block_sizes ({height}, {width}) fits {where} beside {spec.min_context} context cells"
                )
    if spec.strategy != "random" and not feasible_sizes(spec, grid):
        what = f"block_sizes {spec.block_sizes}" if spec.block_sizes else f"block_scale {spec.block_scale}"
        raise ValueError(
            f"no block of {what} fits {where} beside {spec.min_context} context cells; "
            "name block_sizes in cells, for instance [[1, 2], [2, 1], [2, 2]]"
        )


def feasible_sizes(spec: MaskSpec, grid: tuple[int, int]) -> list[tuple[int, int]]:
    """The block sizes that can be drawn and leave enough context."""
    rows, columns = grid
    if spec.block_sizes is not None:
        sizes = set(spec.block_sizes)
    else:
        # The largest block has to cover a cell: rounding a smaller one up would give a block that nobody specified.
        if spec.block_scale[1] * rows * columns < 1:
            return []
        steps = [(low, (low + high) / 2, high) for low, high in (spec.block_scale, spec.block_aspect)]
        sizes = {block_size(scale, aspect, grid) for scale in steps[0] for aspect in steps[1]}
    room = rows * columns - spec.min_context
    return sorted((h, w) for h, w in sizes if h <= rows and w <= columns and h * w <= room)


def block_size(scale: float, aspect: float, grid: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a block that covers a share of the grid, rounded to whole cells of it."""
    area = scale * grid[0] * grid[1]
    height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    return min(max(height, 1), grid[0]), min(max(width, 1), grid[1])
