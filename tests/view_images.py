"""Images, view parameters and comparisons for the tests of views."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from benchmark.data.views.sample import ViewParameters

ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
FLOAT_ERROR = 2e-5
UINT8_ERROR = 2 / 255


def seeded(seed: int = 0) -> torch.Generator:
    """A CPU generator."""
    return torch.Generator().manual_seed(seed)


def some_images(batch: int = 6, rows: int = 32, columns: int = 32, seed: int = 0) -> Tensor:
    """Noise, plus what colour conversions find hard: grays, black, white, pure colours."""
    images = torch.randint(0, 256, (batch, 3, rows, columns), dtype=torch.uint8, generator=seeded(seed))
    images[0, :, :4] = images[0, :1, :4]
    for column, colour in enumerate([(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 255), (9, 9, 200)]):
        images[0, :, 5:, column] = torch.tensor(colour, dtype=torch.uint8)[:, None]
    return images


def whole(batch: int, rows: int = 32, columns: int = 32, /, **changes: Tensor) -> ViewParameters:
    """Parameters that change nothing, but for `changes`."""
    never, zeros = torch.zeros(batch, dtype=torch.bool), torch.zeros(batch, dtype=torch.long)
    neutral = ViewParameters(
        top_B=zeros, left_B=zeros, height_B=zeros + rows, width_B=zeros + columns, flip_B=never, jitter_B=never,
        jitter_order_4=torch.arange(4), brightness_B=torch.ones(batch), contrast_B=torch.ones(batch),
        saturation_B=torch.ones(batch), hue_B=torch.zeros(batch), grayscale_B=never, blur_B=never,
        sigma_B=torch.ones(batch), solarize_B=never,
    )  # fmt: skip
    return dataclasses.replace(neutral, **changes)


def as_float(images: Tensor) -> Tensor:
    """uint8 images in [0, 1]."""
    return images.float() / 255


def close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Asserts that values differ by at most `tolerance`."""
    torch.testing.assert_close(actual.contiguous(), expected, atol=tolerance, rtol=0)


def planes(images: Tensor) -> Tensor:
    """uint8 images `(B, 3, H, W)` as planes `(3, B, H, W)` in [0, 1]."""
    return as_float(images).transpose(0, 1).contiguous()
