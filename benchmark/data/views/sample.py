"""The random parameters of views (crops, colours) for every image of a batch, drawn on the CPU.

Shape suffixes: B images, T attempts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from methods.views import ViewSpec

SourceSize = tuple[int, int] | Tensor
"""Rows and columns of a batch's images: one pair for all, or one for each, `(B, 2)`."""

_ATTEMPTS = 10


@dataclass(frozen=True)
class ViewParameters:
    """The parameters of one view of a batch, on the CPU.

    Attributes:
        top_B: first row of the crop, an integer number of pixels, like the next three.
        flip_B: whether the crop is flipped; likewise for jitter, grayscale, blur and solarise.
        jitter_order_4: 0 brightness, 1 contrast, 2 saturation, 3 hue. One order for the batch.
        brightness_B: factor, like the next two.
        hue_B: shift, in turns.
        sigma_B: the blur's standard deviation in pixels.
    """

    top_B: Tensor
    left_B: Tensor
    height_B: Tensor
    width_B: Tensor
    flip_B: Tensor
    jitter_B: Tensor
    jitter_order_4: Tensor
    brightness_B: Tensor
    contrast_B: Tensor
    saturation_B: Tensor
    hue_B: Tensor
    grayscale_B: Tensor
    blur_B: Tensor
    sigma_B: Tensor
    solarize_B: Tensor

    def __len__(self) -> int:
        return len(self.top_B)

    def slice(self, start: int, stop: int) -> ViewParameters:
        """The parameters of images `start` to `stop` (a rank's share of the global batch), as views of these."""
        names = (field.name for field in fields(self) if field.name.endswith("_B"))
        return replace(self, **{name: getattr(self, name)[start:stop] for name in names})

    def boxes(self, source_size: SourceSize) -> Tensor:
        """Where each view lies in its image: rows of its first and last edge, then columns, in shares of the image.

        Args:
            source_size: of the images, as for `sample_view`.

        Returns:
            `(B, 4)`; a flipped view's columns run backwards.
        """
        rows_B, columns_B = torch.as_tensor(source_size).float().expand(len(self), 2).unbind(1)
        top_B, left_B = self.top_B / rows_B, self.left_B / columns_B
        bottom_B, right_B = top_B + self.height_B / rows_B, left_B + self.width_B / columns_B
        first_B, last_B = right_B.where(self.flip_B, left_B), left_B.where(self.flip_B, right_B)
        return torch.stack((top_B, bottom_B, first_B, last_B), dim=1)


def sample_view(spec: ViewSpec, batch_size: int, source_size: SourceSize, generator: torch.Generator) -> ViewParameters:
    """Draws the parameters of one view for a batch of images of `source_size`.

    The number of draws depends on the batch size alone: switching an operation on or off in a recipe leaves the
    draws of all others as they were.
    """
    draws = torch.rand(2 * _ATTEMPTS + 12, batch_size, dtype=torch.float64, generator=generator)
    areas_TB, ratios_TB, others = draws[:_ATTEMPTS], draws[_ATTEMPTS : 2 * _ATTEMPTS], iter(draws[2 * _ATTEMPTS :])
    rows_B, columns_B = torch.as_tensor(source_size).long().expand(batch_size, 2).unbind(1)
    height_B, width_B, fits_B = _crop_sizes(spec, areas_TB, ratios_TB, rows_B, columns_B)

    def position(length_B: Tensor, source_B: Tensor) -> Tensor:
        free_B = source_B - length_B
        drawn_B: Tensor = next(others) * (free_B + 1)
        return drawn_B.floor().long().where(fits_B, free_B // 2)

    def factor(strength: float) -> Tensor:
        return _uniform(next(others), max(0.0, 1.0 - strength), 1.0 + strength)

    return ViewParameters(
        height_B=height_B,
        width_B=width_B,
        top_B=position(height_B, rows_B),
        left_B=position(width_B, columns_B),
        flip_B=next(others) < spec.flip,
        jitter_B=next(others) < spec.jitter,
        brightness_B=factor(spec.brightness),
        contrast_B=factor(spec.contrast),
        saturation_B=factor(spec.saturation),
        hue_B=_uniform(next(others), -spec.hue, spec.hue),
        grayscale_B=next(others) < spec.grayscale,
        blur_B=next(others) < spec.blur,
        sigma_B=_uniform(next(others), *spec.blur_sigma),
        solarize_B=next(others) < spec.solarize,
        jitter_order_4=torch.randperm(4, generator=generator),
    )


def _uniform(draws_B: Tensor, low: float, high: float) -> Tensor:
    return (low + draws_B * (high - low)).float()


def _crop_sizes(
    spec: ViewSpec, areas_TB: Tensor, ratios_TB: Tensor, rows_B: Tensor, columns_B: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Crop heights and widths as in torchvision's `RandomResizedCrop`: those of the first attempt that fits the image.

    Also returns whether an attempt fitted; where none did, the crop has to be central.
    """
    low, high = spec.crop_scale
    area_TB = (low + areas_TB * (high - low)) * (rows_B * columns_B)
    low, high = (math.log(ratio) for ratio in spec.crop_ratio)
    ratio_TB = (low + ratios_TB * (high - low)).exp()
    height_TB = (area_TB / ratio_TB).sqrt().round().long()
    width_TB = (area_TB * ratio_TB).sqrt().round().long()
    fits_TB = (height_TB > 0) & (height_TB <= rows_B) & (width_TB > 0) & (width_TB <= columns_B)
    # argmax finds the first of equal values.
    first_1B = fits_TB.byte().argmax(dim=0, keepdim=True)
    fits_B = fits_TB.any(dim=0)
    # Where no attempt fits: the largest crop with an allowed ratio.
    low, high = spec.crop_ratio
    own_ratio_B = columns_B.double() / rows_B
    height_B = (columns_B.double() / low).round().long().clamp(min=1).where(own_ratio_B < low, rows_B)
    width_B = (rows_B.double() * high).round().long().clamp(min=1).where(own_ratio_B > high, columns_B)
    chosen_height_B, chosen_width_B = (sizes_TB.gather(0, first_1B)[0] for sizes_TB in (height_TB, width_TB))
    return chosen_height_B.where(fits_B, height_B), chosen_width_B.where(fits_B, width_B), fits_B
