"""Pixels as targets (MAE, SparK): patches of normalised images, and a decoder of a CNN's maps.

Shape suffixes: B images, N patches, P pixels of a patch times channels, C channels, H W positions, h w cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class PixelTargets(NamedTuple):
    """Patches with zero mean and unit variance each, and what was taken out of them, `(B, N, P)`, `(B, N, 1)` twice."""

    normalised_BNP: Tensor
    mean_BN1: Tensor
    scale_BN1: Tensor

    def images(self, predicted_BNP: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
        """Predicted patches as images `(B, 3, H, W)`, in the space of the images."""
        patches = predicted_BNP * self.scale_BN1 + self.mean_BN1
        return F.fold(patches.transpose(1, 2), (grid[0] * patch, grid[1] * patch), kernel_size=patch, stride=patch)


def pixel_targets(images: Tensor, patch: int) -> PixelTargets:
    """The patches of images `(B, 3, H, W)` in raster order, each normalised (MAE, section 3)."""
    patches_BNP = F.unfold(images.float(), kernel_size=patch, stride=patch).transpose(1, 2)
    mean_BN1 = patches_BNP.mean(-1, keepdim=True)
    scale_BN1 = (patches_BNP.var(-1, keepdim=True) + 1e-6).sqrt()
    return PixelTargets((patches_BNP - mean_BN1) / scale_BN1, mean_BN1, scale_BN1)


class Densify(nn.Module):
    """Fills the hidden positions of a stage's map with a learned vector, and brings it to the decoder's width."""

    def __init__(self, channels: int, width: int, *, first: bool) -> None:
        super().__init__()
        # Of one dimension, so that weight decay leaves it alone, as published.
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.zeros(channels), std=0.02))
        # 1x1 on the last map, 3x3 on the others, as published.
        self.project = nn.Conv2d(channels, width, 1 if first else 3, padding=0 if first else 1)

    def forward(self, map_BCHW: Tensor, visible_Bhw: Tensor) -> Tensor:
        """The filled map `(B, width, H, W)`."""
        size = (map_BCHW.shape[2], map_BCHW.shape[3])
        visible = F.interpolate(visible_Bhw.unsqueeze(1).to(map_BCHW.dtype), size)
        filled: Tensor = self.project(torch.where(visible > 0, map_BCHW, self.token.to(map_BCHW.dtype)[:, None, None]))
        return filled


class Up(nn.Module):
    """Twice the resolution, then two convolutions (section 3.3, "light decoder")."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.convolve = nn.Sequential(
            *(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU6()),
            *(nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)),
        )

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """A map `(B, out, 2 H, 2 W)`."""
        convolved: Tensor = self.convolve(self.up(map_BCHW))
        return convolved


class UNetDecoder(nn.Module):
    """A light decoder from the maps of a CNN's stages to pixels (SparK, section 3.3).

    Args:
        maps: channels and side of the stages' maps, from fine to coarse.
        width: channels of the first, coarsest map; each doubling of the resolution halves them, down to 8.
        image_size: side of the images.
    """

    def __init__(self, maps: Sequence[tuple[int, int]], width: int, image_size: int) -> None:
        super().__init__()
        channels = {side: count for count, side in maps}
        self._side = min(channels)
        widths, side = [width], self._side
        self.densify, self.ups = nn.ModuleDict(), nn.ModuleList()
        while side < image_size:
            if side in channels:  # what is as fine as the images would pass no convolution any more
                self.densify[str(side)] = Densify(channels[side], widths[-1], first=side == self._side)
            widths.append(max(8, widths[-1] // 2))
            self.ups.append(Up(widths[-2], widths[-1]))
            side *= 2
        self.pixels = nn.Conv2d(widths[-1], 3, 1)

    def forward(self, maps: Sequence[Tensor], visible_Bhw: Tensor) -> Tensor:
        """Pixels `(B, 3, H, W)` from the maps `(B, C, H', W')` of the stages; hidden positions are filled."""
        by_side = {str(one.shape[2]): one for one in maps}
        side, current = self._side, None
        for up in self.ups:
            if str(side) in self.densify:
                filled = self.densify[str(side)](by_side[str(side)], visible_Bhw)
                current = filled if current is None else current + filled
            current, side = up(current), 2 * side
        pixels: Tensor = self.pixels(current)
        return pixels
