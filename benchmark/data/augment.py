"""Turns `ViewSpec`s into views, a whole batch at a time, on the device where the batch lies.

First `Augmenter.sample` draws everything that is random, on the CPU, then the augmenter applies it without drawing
anything and without waiting for the device. Every image has parameters of its own (the order of the colour jitter
belongs to the batch) and its view does not depend on which other images stand beside it.

The reference for each operation is the function of `torchvision.transforms.v2.functional` on a float image in [0, 1],
antialiased for the crop. Unlike in a chain on uint8 images nothing is rounded between two operations. The bicubic
crop is the exception: it overshoots, and as on uint8 it is clamped to [0, 1] after the columns and after the rows.

Shape suffixes: B images, C the three channels, H W rows and columns of the source, S side of the view, Y X its rows
and columns, A the two axes (rows, columns), R rows and L columns of a plane, K taps of a filter, T attempts, N chosen
images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.data import color
from benchmark.data.resample import blur, crop, crop_taps, send
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from methods.views import ViewSpec

_ATTEMPTS = 10
# How many pixel values a CPU works on at a time. Fewer cost more calls; more fall out of its caches.
_CHUNK_VALUES = 300_000


@dataclass(frozen=True)
class ViewParameters:
    """All draws of one view of a batch, on the CPU.

    Attributes:
        top_B: first row of the crop, in pixels; likewise `left_B`, `height_B`, `width_B`. Integers.
        left_B: first column.
        height_B: rows of the crop.
        width_B: columns of the crop.
        flip_B: whether the crop is flipped.
        jitter_B: whether the colours are jittered.
        jitter_order_4: in which order; 0 brightness, 1 contrast, 2 saturation, 3 hue. One order for the batch.
        brightness_B: factor.
        contrast_B: factor.
        saturation_B: factor.
        hue_B: shift, in turns.
        grayscale_B: whether the image becomes gray.
        blur_B: whether it is blurred.
        sigma_B: the blur's standard deviation in pixels.
        solarize_B: whether it is solarised.
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


def sample_view(
    spec: ViewSpec, batch_size: int, source_size: tuple[int, int], generator: torch.Generator
) -> ViewParameters:
    """Draws the parameters of one view for a batch of images of `source_size` (rows, columns).

    The number of draws depends on the batch size alone: switching an operation on or off in a recipe leaves the
    draws of all others as they were.
    """
    draws = torch.rand(2 * _ATTEMPTS + 12, batch_size, dtype=torch.float64, generator=generator)
    areas_TB, ratios_TB, others = draws[:_ATTEMPTS], draws[_ATTEMPTS : 2 * _ATTEMPTS], iter(draws[2 * _ATTEMPTS :])
    height_B, width_B, found_B = _crop_sizes(spec, areas_TB, ratios_TB, source_size)

    def position(length_B: Tensor, source: int) -> Tensor:
        free_B = source - length_B
        drawn_B: Tensor = next(others) * (free_B + 1)
        return drawn_B.floor().long().where(found_B, free_B // 2)

    def factor(strength: float) -> Tensor:
        return _uniform(next(others), max(0.0, 1.0 - strength), 1.0 + strength)

    return ViewParameters(
        height_B=height_B,
        width_B=width_B,
        top_B=position(height_B, source_size[0]),
        left_B=position(width_B, source_size[1]),
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
    spec: ViewSpec, areas_TB: Tensor, ratios_TB: Tensor, source_size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Crops as torchvision's `RandomResizedCrop` finds them: the first attempt that fits the image.

    Returns:
        Heights, widths, and whether there was such an attempt; where there was not, the central crop is to be taken.
    """
    rows, columns = source_size
    low, high = spec.crop_scale
    area_TB = (low + areas_TB * (high - low)) * (rows * columns)
    low, high = (math.log(ratio) for ratio in spec.crop_ratio)
    ratio_TB = (low + ratios_TB * (high - low)).exp()
    height_TB = (area_TB / ratio_TB).sqrt().round().long()
    width_TB = (area_TB * ratio_TB).sqrt().round().long()
    fits_TB = (height_TB > 0) & (height_TB <= rows) & (width_TB > 0) & (width_TB <= columns)
    # argmax finds the first of equal values.
    first_1B = fits_TB.byte().argmax(dim=0, keepdim=True)
    found_B = fits_TB.any(dim=0)
    height, width = _fallback_size(spec.crop_ratio, source_size)
    return (
        height_TB.gather(0, first_1B)[0].where(found_B, torch.tensor(height)),
        width_TB.gather(0, first_1B)[0].where(found_B, torch.tensor(width)),
        found_B,
    )


def _fallback_size(crop_ratio: tuple[float, float], source_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the largest crop with an allowed ratio, where no attempt fits."""
    rows, columns = source_size
    low, high = crop_ratio
    if columns / rows < low:
        return max(1, round(columns / low)), columns
    if columns / rows > high:
        return rows, max(1, round(rows * high))
    return rows, columns


class Augmenter:
    """Makes the views that a method declares."""

    def __init__(
        self,
        specs: Sequence[ViewSpec],
        image_size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        """Checks the declarations.

        Args:
            specs: what the method wants to see, in this order.
            image_size: side in pixels of the views that do not name their own.
            mean: of each channel, as a share of the largest value.
            std: standard deviation of each channel, likewise.

        Raises:
            UserError: a view's blur needs more pixels than the view has, or a standard deviation is not positive.
        """
        self.specs = tuple(specs)
        self.sizes = tuple(spec.size or image_size for spec in specs)
        for index, (spec, size) in enumerate(zip(self.specs, self.sizes, strict=True)):
            kernel = spec.kernel(size)
            if spec.blur > 0 and kernel // 2 >= size:
                largest = 2 * size - 1
                raise UserError(
                    f"views[{index}].blur_kernel is {kernel}; a view of {size} pixels takes at most {largest}"
                )
        self._normalisation = _normalisation(mean, std)

    def sample(self, batch_size: int, source_size: tuple[int, int], generator: torch.Generator) -> list[ViewParameters]:
        """Draws the parameters of all views of a batch, on the CPU.

        Args:
            batch_size: images of the global batch; a rank takes its `slice`.
            source_size: rows and columns of the images.
            generator: a CPU generator; views are drawn from it in order.
        """
        return [sample_view(spec, batch_size, source_size, generator) for spec in self.specs]

    @torch.no_grad()
    def __call__(self, images_BCHW: Tensor, parameters: list[ViewParameters]) -> tuple[Tensor, ...]:
        """Makes the views.

        Args:
            images_BCHW: uint8 RGB images on any device.
            parameters: one per view, of as many images, drawn for images of this size.

        Returns:
            One normalised float32 tensor `(B, 3, S, S)` per view, in `channels_last`, on the device of the images.

        Raises:
            UserError: the images are not `(B, 3, H, W)` in uint8, or the parameters are not those of such a batch.
        """
        _check_images(images_BCHW)
        _check_parameters(parameters, len(self.specs), images_BCHW)
        return tuple(
            self._view(images_BCHW, spec, size, one)
            for spec, size, one in zip(self.specs, self.sizes, parameters, strict=True)
        )

    def _view(self, images_BCHW: Tensor, spec: ViewSpec, size: int, parameters: ViewParameters) -> Tensor:
        batch, channels, rows, columns = images_BCHW.shape
        views_BCYX = torch.empty(
            (batch, channels, size, size),
            dtype=torch.float32,
            device=images_BCHW.device,
            memory_format=torch.channels_last,
        )
        clamp = spec.interpolation == "bicubic"
        one = parameters
        boxes_6B = torch.stack([one.top_B, one.left_B, one.height_B, one.width_B, one.flip_B, one.flip_B]).float()
        boxes_6B[4] = 0.0
        device = images_BCHW.device
        pixels_ABSK, weights_ABSK = crop_taps(boxes_6B, spec.interpolation, size, (rows, columns), device)
        chunk = max(1, batch)
        if images_BCHW.device.type == "cpu":
            chunk = max(1, _CHUNK_VALUES // (channels * max(size * size, rows * columns)))
        soften = partial(blur, kernel=spec.kernel(size))
        solarize = partial(color.solarize, threshold=spec.solarize_threshold)
        for start in range(0, batch, chunk):
            own = slice(start, start + chunk)
            part = parameters.slice(start, start + chunk)
            planes_CBYX = crop(images_BCHW[own], pixels_ABSK[:, own], weights_ABSK[:, own], clamp=clamp)
            _jitter(planes_CBYX, spec, part)
            _apply(color.to_grayscale, planes_CBYX, part.grayscale_B)
            _apply(soften, planes_CBYX, part.blur_B, part.sigma_B)
            _apply(solarize, planes_CBYX, part.solarize_B)
            for channel, (scale, shift) in enumerate(self._normalisation):
                torch.add(shift, planes_CBYX[channel], alpha=scale, out=views_BCYX[own, channel])
        return views_BCYX


def center_view(
    images_BCHW: Tensor, image_size: int, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """The view that is evaluated: the central square, without any chance.

    Images of the right size are taken as they are. Others are enlarged first (bilinear) if their shorter side is
    below `image_size`; larger ones are not made smaller, which is for whoever reads them to do.

    Args:
        images_BCHW: uint8 RGB images on any device.
        image_size: side of the view in pixels.
        mean: of each channel, as a share of the largest value.
        std: standard deviation of each channel, likewise.

    Returns:
        Normalised float32 tensor `(B, 3, image_size, image_size)` in `channels_last`.

    Raises:
        UserError: the images are not `(B, 3, H, W)` in uint8, or a standard deviation is not positive.
    """
    _check_images(images_BCHW)
    normalisation = _normalisation(mean, std)
    rows, columns = images_BCHW.shape[-2:]
    shorter = min(rows, columns)
    if shorter < image_size:
        size = (image_size * rows // shorter, image_size * columns // shorter)
        images_BCHW = F.interpolate(images_BCHW.float(), size=size, mode="bilinear", antialias=True)
        rows, columns = size
    # Rounded half to even, as torchvision's `center_crop` does.
    top, left = round((rows - image_size) / 2), round((columns - image_size) / 2)
    square_BCHW = images_BCHW[..., top : top + image_size, left : left + image_size]
    views_BCHW = square_BCHW.to(torch.float32, memory_format=torch.channels_last, copy=True)
    for channel, (scale, shift) in enumerate(normalisation):
        views_BCHW[:, channel].mul_(scale / 255).add_(shift)
    return views_BCHW


def _check_images(images_BCHW: Tensor) -> None:
    if images_BCHW.dtype != torch.uint8 or images_BCHW.ndim != 4 or images_BCHW.shape[1] != 3:
        raise UserError(
            f"images are {tuple(images_BCHW.shape)} in {images_BCHW.dtype}; expected (B, 3, H, W) in torch.uint8"
        )


def _check_parameters(parameters: list[ViewParameters], views: int, images_BCHW: Tensor) -> None:
    """Refuses parameters that would silently reach into a neighbouring image."""
    counts = [len(one) for one in parameters]
    if counts != [len(images_BCHW)] * views:
        raise UserError(f"view parameters are for {counts} images; expected {views} views of {len(images_BCHW)}")
    rows, columns = images_BCHW.shape[-2:]
    for index, one in enumerate(parameters):
        if bool((one.top_B + one.height_B > rows).any() | (one.left_B + one.width_B > columns).any()):
            raise UserError(f"crops of views[{index}] were drawn for larger images than these of {rows} x {columns}")


def _normalisation(
    mean: tuple[float, float, float], std: tuple[float, float, float]
) -> tuple[tuple[float, Tensor], ...]:
    """Scale and shift of each channel: scale x value + shift is the normalised value. Shifts live on the host."""
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise UserError(f"mean is {tuple(mean)}, std is {tuple(std)}; expected three numbers each, std above 0")
    return tuple(
        (1 / deviation, torch.tensor(-average / deviation)) for average, deviation in zip(mean, std, strict=True)
    )


def _apply(operation: Callable[..., None], planes_CBYX: Tensor, chosen_B: Tensor, *values_B: Tensor) -> None:
    """Does an in-place operation on the chosen images alone, each with its own values.

    The choice is made on the host: on the device the host would have to wait for the number of chosen images.
    """
    device = planes_CBYX.device
    chosen_N = chosen_B.nonzero()[:, 0]
    if not len(chosen_N):
        return
    values_N = send(torch.stack(values_B)[:, chosen_N], device).unbind(0) if values_B else ()
    if len(chosen_N) == len(chosen_B):
        operation(planes_CBYX, *values_N)
        return
    chosen_N = send(chosen_N, device)
    some_CNYX = planes_CBYX.index_select(1, chosen_N)
    operation(some_CNYX, *values_N)
    planes_CBYX.index_copy_(1, chosen_N, some_CNYX)


def _jitter(planes_CBYX: Tensor, spec: ViewSpec, parameters: ViewParameters) -> None:
    operations = (color.adjust_brightness, color.adjust_contrast, color.adjust_saturation, color.adjust_hue)
    strengths = (spec.brightness, spec.contrast, spec.saturation, spec.hue)
    factors_B = (parameters.brightness_B, parameters.contrast_B, parameters.saturation_B, parameters.hue_B)
    order = [which for which in parameters.jitter_order_4.tolist() if strengths[which] > 0]

    def in_order(some_CNYX: Tensor, *factors_N: Tensor) -> None:
        for which in order:
            operations[which](some_CNYX, factors_N[which])

    if order:
        _apply(in_order, planes_CBYX, parameters.jitter_B, *factors_B)
