"""Crops, resizes and blurs of a whole batch, as weighted sums of a few columns, then of a few rows.

`embedding_bag` computes such sums, with rows and weights that differ by image, and is fast on CPUs and GPUs. It only
sums rows, so that images are transposed to sum columns, and transposed back.

Shape suffixes: B images, C the three channels, S side of the view, Y X its rows and columns, A the two axes (rows,
columns), R rows and L columns of a plane, K taps of a filter, N chosen images.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_RADIUS = {"bilinear": 1.0, "bicubic": 2.0}


def send(values: Tensor, device: torch.device) -> Tensor:
    """The values on the device, without waiting for it."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def crop(images_BCHW: Tensor, pixels_ABSK: Tensor, weights_ABSK: Tensor, *, clamp: bool) -> Tensor:
    """Crops, resizes and flips; the result is `(3, B, S, S)` in [0, 1]."""
    planes_CBWH = images_BCHW.permute(1, 0, 3, 2).to(torch.float32, memory_format=torch.contiguous_format)
    planes_CBXH = _weigh_rows(planes_CBWH, pixels_ABSK[1], weights_ABSK[1])
    if clamp:
        planes_CBXH.clamp_(0.0, 1.0)
    planes_CBYX = _weigh_rows(planes_CBXH.transpose(2, 3), pixels_ABSK[0], weights_ABSK[0])
    return planes_CBYX.clamp_(0.0, 1.0) if clamp else planes_CBYX


def crop_taps(
    boxes_6B: Tensor, interpolation: str, size: int, source_size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """The image rows (columns) that make each row (column) of a view, and their weights, both `(A, B, S, K)`.

    The antialiased filter of torch's `interpolate`: where the crop is larger than the view, the radius grows with the
    scale; taps outside the crop are left out. The weights of the columns, which are applied first, also map values from
    [0, 255] to [0, 1].

    `boxes_6B` holds first row, first column, rows, columns, 0, and whether the columns are flipped; on the CPU, as
    floats. `size` is S, and `source_size` the rows and columns of the source images.
    """
    start_AB11, length_AB11, flip_AB11 = send(boxes_6B, device)[..., None, None].view(3, 2, -1, 1, 1)
    radius = _RADIUS[interpolation]
    # As many taps as the largest possible crop needs. With the number that this batch needs, sums could be rounded
    # differently, and an image's view would depend on the other images.
    taps_K = torch.arange(math.ceil(2 * radius * max(1.0, max(source_size) / size)), device=device)
    target_S1 = (torch.arange(size, device=device) + 0.5)[:, None]

    scale_AB11 = length_AB11 / size
    width_AB11 = scale_AB11.clamp(min=1.0)
    center_ABS1 = (target_S1 + flip_AB11 * (size - 2.0 * target_S1)).mul_(scale_AB11).sub_(0.5)
    pixels_ABSK = (center_ABS1 - radius * width_AB11 + 1.0).floor_() + taps_K
    weights_ABSK = _filter((pixels_ABSK - center_ABS1).abs_().div_(width_AB11), interpolation)
    inside_ABSK = pixels_ABSK.clamp(min=0.0).clamp_(max=length_AB11 - 1.0)
    weights_ABSK.mul_(pixels_ABSK.eq_(inside_ABSK))
    weights_ABSK.div_(weights_ABSK.sum(dim=-1, keepdim=True))
    weights_ABSK[1].div_(255.0)
    return inside_ABSK.add_(start_AB11).int(), weights_ABSK


def _filter(distances: Tensor, interpolation: str) -> Tensor:
    """A filter's value at distances of at least 0, in pixels: a triangle, or Keys' cubic with a = -1/2."""
    if interpolation == "bilinear":
        return (1.0 - distances).clamp_(min=0.0)
    distances = distances.clamp(max=2.0)
    near = (1.5 * distances - 2.5).mul_(distances).mul_(distances).add_(1.0)
    far = (-0.5 * distances + 2.5).mul_(distances).sub_(4.0).mul_(distances).add_(2.0)
    return near.where(distances < 1.0, far)


def _weigh_rows(planes_CBRL: Tensor, pixels_BSK: Tensor, weights_BSK: Tensor) -> Tensor:
    """Weighted sums of rows, `(C, B, S, L)`: each is made of K rows of its own image, the same for all channels.

    Rows that are the same for all images may come without their B.
    """
    channels, batch, rows, length = planes_CBRL.shape
    first = torch.arange(0, channels * batch * rows, rows, dtype=torch.int32, device=planes_CBRL.device)
    rows_CBSK = first.view(channels, batch, 1, 1) + pixels_BSK
    summed = F.embedding_bag(
        rows_CBSK.flatten(0, 2),
        planes_CBRL.reshape(-1, length),
        mode="sum",
        per_sample_weights=weights_BSK.expand_as(rows_CBSK).flatten(0, 2),
    )
    return summed.view(channels, batch, -1, length)


def blur(images_CNYX: Tensor, sigma_N: Tensor, kernel: int) -> None:
    """Blurs in place, each image with its own standard deviation in pixels; borders are reflected."""
    last = images_CNYX.shape[-1] - 1
    offsets_K = torch.arange(-(kernel // 2), kernel // 2 + 1, device=images_CNYX.device)
    pixels_SK = (torch.arange(last + 1, device=images_CNYX.device)[:, None] + offsets_K).abs_()
    pixels_SK = (last - (pixels_SK - last).abs_()).int()
    weights_NK = (offsets_K / sigma_N[:, None]).square_().mul_(-0.5).softmax(dim=-1)
    weights_NSK = weights_NK[:, None].expand(-1, last + 1, -1)
    blurred_CNYX = _weigh_rows(images_CNYX, pixels_SK, weights_NSK)
    blurred_CNXY = _weigh_rows(blurred_CNYX.transpose(2, 3), pixels_SK, weights_NSK)
    images_CNYX.copy_(blurred_CNXY.transpose(2, 3))
