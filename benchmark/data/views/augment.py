"""Turns `ViewSpec`s into views, a whole batch at a time, on the batch's device.

First `Augmenter.sample` draws all random parameters on the CPU. Then the augmenter applies them, without drawing
anything and without waiting for the device. Every image has its own parameters (only the order of the colour jitter is
the batch's), and its view does not depend on the other images of the batch.

Images in memory, and small images of one size, are also cropped here. Images that are decoded on demand from files of
several sizes are cropped by the reader on uint8 (`crops.py`); only the other operations follow here.

The reference for each operation is the function of `torchvision.transforms.v2.functional` on a float image in [0, 1],
antialiased for the crop. Unlike in a chain on uint8 images nothing is rounded between two operations. The bicubic
crop is the exception: it overshoots, and as on uint8 it is clamped to [0, 1] after the columns and after the rows.

Shape suffixes: B images, C the three channels, H W rows and columns of the source, S side of the view, Y X its rows
and columns, A the two axes (rows, columns), K taps of a filter, N chosen images.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.data.views import color
from benchmark.data.views.resample import blur, crop, crop_taps, send
from benchmark.data.views.sample import sample_view
from benchmark.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmark.data.views.sample import SourceSize, ViewParameters
    from methods.views import ViewSpec

    Channels = tuple[float, float, float]

# Pixel values that a CPU works on at a time. Fewer cost more calls; more do not fit its caches.
_CHUNK_VALUES = 300_000


class Augmenter:
    """Makes the views that a method declares.

    `image_size` is the side in pixels of the views without a size of their own; mean and std are for values in [0, 1].
    `backend`, of `torch.compile`, makes one kernel of each colour operation; None leaves them as they are.

    Raises:
        UserError: a view's blur needs more pixels than the view has, or a standard deviation is not positive.
    """

    def __init__(
        self,
        specs: Sequence[ViewSpec],
        image_size: int,
        mean: Channels,
        std: Channels,
        *,
        backend: str | None = None,
    ) -> None:
        self.specs = tuple(specs)
        self.sizes = tuple(spec.size or image_size for spec in specs)
        for index, (spec, size) in enumerate(zip(self.specs, self.sizes, strict=True)):
            kernel = spec.kernel(size)
            if spec.blur > 0 and kernel // 2 >= size:
                most = 2 * size - 1
                raise UserError(f"views[{index}].blur_kernel is {kernel}; a view of {size} pixels takes at most {most}")
        self._normalisation = _normalisation(mean, std)
        # For any number of images: how many an operation is applied to differs from batch to batch.
        compiled = partial(torch.compile, backend=backend, dynamic=True) if backend else lambda operation: operation
        jitters = (color.adjust_brightness, color.adjust_contrast, color.adjust_saturation, color.adjust_hue)
        self._jitters = tuple(compiled(operation) for operation in jitters)
        self._to_grayscale, self._solarize = compiled(color.to_grayscale), compiled(color.solarize)

    def sample(self, batch_size: int, source_size: SourceSize, generator: torch.Generator) -> list[ViewParameters]:
        """Draws the parameters of all views of a global batch, in order, on the CPU; a rank uses its `slice`."""
        return [sample_view(spec, batch_size, source_size, generator) for spec in self.specs]

    def draw_views(
        self, images_BCHW: Tensor, generator: torch.Generator, batch_size: int | None = None, start: int = 0
    ) -> tuple[Tensor, ...]:
        """Draws the views of a batch of whole images and makes them, as a call does.

        The images are this process's share of the global batch, from position `start` on. Parameters are drawn for all
        `batch_size` images of the global batch; None says that these images are all of it.
        """
        size = (images_BCHW.shape[2], images_BCHW.shape[3])
        parameters = self.sample(batch_size or len(images_BCHW), size, generator)
        return self(images_BCHW, [view.slice(start, start + len(images_BCHW)) for view in parameters])

    @torch.no_grad()
    def __call__(self, images_BCHW: Tensor, parameters: list[ViewParameters]) -> tuple[Tensor, ...]:
        """Makes the views of uint8 RGB images on any device, with parameters that were drawn for images of this size.

        Returns:
            One normalised float32 tensor `(B, 3, S, S)` per view, in `channels_last`, on the device of the images.

        Raises:
            UserError: the images are not `(B, 3, H, W)` in uint8, or the parameters are not those of such a batch.
        """
        _check_images(images_BCHW)
        _check_parameters(parameters, len(self.specs), images_BCHW)
        return tuple(self._view(images_BCHW, index, view) for index, view in enumerate(parameters))

    @torch.no_grad()
    def finish(self, crops: Sequence[Tensor], parameters: list[ViewParameters]) -> tuple[Tensor, ...]:
        """Makes the views, as a call does, of images that have already been cropped, resized and flipped.

        The crops are uint8 RGB images `(B, 3, S, S)` on any device, one tensor per view.

        Raises:
            UserError: the crops do not have the views' shapes.
        """
        shapes = [(len(view), 3, size, size) for view, size in zip(parameters, self.sizes, strict=True)]
        if [tuple(crop_BCSS.shape) for crop_BCSS in crops] != shapes or any(c.dtype != torch.uint8 for c in crops):
            raise UserError(f"crops are {[tuple(crop.shape) for crop in crops]}; expected {shapes} in torch.uint8")
        return tuple(
            self._coloured(index, view, partial(_planes, crop_BCSS), crop_BCSS.shape[-1] ** 2, crop_BCSS.device)
            for index, (crop_BCSS, view) in enumerate(zip(crops, parameters, strict=True))
        )

    def _view(self, images_BCHW: Tensor, index: int, parameters: ViewParameters) -> Tensor:
        interpolation, size, device = self.specs[index].interpolation, self.sizes[index], images_BCHW.device
        rows, columns = images_BCHW.shape[2:]
        p = parameters
        boxes_6B = torch.stack([p.top_B, p.left_B, p.height_B, p.width_B, torch.zeros_like(p.flip_B), p.flip_B]).float()
        pixels_ABSK, weights_ABSK = crop_taps(boxes_6B, interpolation, size, (rows, columns), device)

        def cropped(own: slice) -> Tensor:
            clamp = interpolation == "bicubic"
            return crop(images_BCHW[own], pixels_ABSK[:, own], weights_ABSK[:, own], clamp=clamp)

        return self._coloured(index, parameters, cropped, max(size * size, rows * columns), device)

    def _coloured(
        self,
        index: int,
        parameters: ViewParameters,
        cropped: Callable[[slice], Tensor],
        pixels: int,
        device: torch.device,
    ) -> Tensor:
        """Applies all operations that follow the crop to a view, a chunk of images at a time.

        `cropped` makes the crops of some images as planes `(3, B, S, S)` in [0, 1]. `pixels` is the largest number of
        pixels that an image has on the way, which sets the chunk.
        """
        spec, size, batch = self.specs[index], self.sizes[index], len(parameters)
        shape, layout = (batch, 3, size, size), torch.channels_last
        views_BCYX = torch.empty(shape, dtype=torch.float32, device=device, memory_format=layout)
        chunk = max(1, batch if device.type != "cpu" else _CHUNK_VALUES // (3 * pixels))
        soften = partial(blur, kernel=spec.kernel(size))
        solarize = partial(self._solarize, threshold=spec.solarize_threshold)
        for start in range(0, batch, chunk):
            own = slice(start, start + chunk)
            part = parameters.slice(start, start + chunk)
            planes_CBYX = cropped(own)
            _jitter(planes_CBYX, spec, part, self._jitters)
            _apply(self._to_grayscale, planes_CBYX, part.grayscale_B)
            _apply(soften, planes_CBYX, part.blur_B, part.sigma_B)
            _apply(solarize, planes_CBYX, part.solarize_B)
            for channel, (scale, shift) in enumerate(self._normalisation):
                torch.add(shift, planes_CBYX[channel], alpha=scale, out=views_BCYX[own, channel])
        return views_BCYX


def _planes(crops_BCSS: Tensor, own: slice) -> Tensor:
    """The chosen uint8 crops as planes `(3, B, S, S)` in [0, 1]."""
    planes_CBSS = crops_BCSS[own].transpose(0, 1).to(torch.float32, memory_format=torch.contiguous_format)
    return planes_CBSS.div_(255.0)


def center_view(images_BCHW: Tensor, image_size: int, mean: Channels, std: Channels) -> Tensor:
    """The view for evaluation: the normalised central square, without random operations.

    Images whose shorter side is below `image_size` are enlarged first (bilinear). Larger ones are cropped, not shrunk:
    the reader has to do that. Mean and std are for values in [0, 1].

    Returns:
        Normalised float32 tensor `(B, 3, image_size, image_size)` in `channels_last`, on the device of the images.

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
    """Refuses parameters with which a crop would silently reach into a neighbouring image."""
    counts = [len(view) for view in parameters]
    if counts != [len(images_BCHW)] * views:
        raise UserError(f"view parameters are for {counts} images; expected {views} views of {len(images_BCHW)}")
    rows, columns = images_BCHW.shape[-2:]
    for index, view in enumerate(parameters):
        if bool((view.top_B + view.height_B > rows).any() | (view.left_B + view.width_B > columns).any()):
            raise UserError(f"crops of views[{index}] were drawn for larger images than these of {rows} x {columns}")


def _normalisation(mean: Channels, std: Channels) -> tuple[tuple[float, Tensor], ...]:
    """Scale and shift of each channel: scale x value + shift is the normalised value. Shifts stay on the CPU."""
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise UserError(f"mean is {tuple(mean)}, std is {tuple(std)}; expected three numbers each, std above 0")
    return tuple((1 / scale, torch.tensor(-center / scale)) for center, scale in zip(mean, std, strict=True))


def _apply(operation: Callable[..., None], planes_CBYX: Tensor, chosen_B: Tensor, *values_B: Tensor) -> None:
    """Applies an in-place operation to the chosen images only, each with its own values.

    The images are chosen on the CPU, because otherwise it would wait for the device to count them.
    """
    device, chosen_N = planes_CBYX.device, chosen_B.nonzero()[:, 0]
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


def _jitter(
    planes_CBYX: Tensor, spec: ViewSpec, parameters: ViewParameters, operations: Sequence[Callable[..., None]]
) -> None:
    strengths = (spec.brightness, spec.contrast, spec.saturation, spec.hue)
    factors_B = (parameters.brightness_B, parameters.contrast_B, parameters.saturation_B, parameters.hue_B)
    order = [which for which in parameters.jitter_order_4.tolist() if strengths[which] > 0]

    def in_order(some_CNYX: Tensor, *factors_N: Tensor) -> None:
        for which in order:
            operations[which](some_CNYX, factors_N[which])

    if order:
        _apply(in_order, planes_CBYX, parameters.jitter_B, *factors_B)
