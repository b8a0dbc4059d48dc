"""Crops and blurs as weighted sums of columns and rows."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from view_images import FLOAT_ERROR, UINT8_ERROR, as_float, close, planes, some_images

from benchmark.data.views.resample import blur, crop, crop_taps


@pytest.mark.parametrize(("size", "kernel"), [(32, 3), (32, 5), (64, 23), (8, 15), (230, 23)])
def test_blur_is_torchvisions(size: int, kernel: int) -> None:
    images = some_images(4, size, size)
    sigmas = [0.1, 0.5, 1.3, 2.0]
    blurred = planes(images)
    blur(blurred, torch.tensor(sigmas), kernel)
    for index, sigma in enumerate(sigmas):
        exact = reference.gaussian_blur(as_float(images[index]), [kernel, kernel], sigma)
        close(blurred[:, index], exact, FLOAT_ERROR)
        close(blurred[:, index], as_float(reference.gaussian_blur(images[index], [kernel, kernel], sigma)), UINT8_ERROR)


def test_blur_keeps_rows_and_columns_apart() -> None:
    point = torch.zeros(3, 1, 32, 32)
    point[:, :, 10, 20] = 1.0
    blur(point, torch.ones(1), 3)
    assert point[0, 0].argmax() == 10 * 32 + 20


@pytest.mark.parametrize(("interpolation", "radius"), [("bilinear", 1), ("bicubic", 2)])
def test_taps_stay_inside_their_crop(interpolation: str, radius: int) -> None:
    boxes = torch.tensor([[4, 0], [10, 0], [24, 48], [30, 60], [0, 0], [1, 0]]).float()  # one box a column
    pixels, weights = crop_taps(boxes, interpolation, 16, (48, 60), torch.device("cpu"))
    assert pixels.shape == weights.shape == (2, 2, 16, math.ceil(2 * radius * 60 / 16))
    close(weights[0].sum(-1), torch.ones(2, 16), 1e-5)
    close(weights[1].sum(-1) * 255, torch.ones(2, 16), 1e-5)
    rows, columns = pixels[0, 0], pixels[1, 0]
    assert (rows.min(), rows.max()) == (4, 27) and (columns.min(), columns.max()) == (10, 39)
    assert columns[0].max() > columns[-1].max()  # flipped: the view's first column is the crop's last
    assert rows[0].max() < rows[-1].max()


def test_a_crop_of_the_same_size_is_the_part_of_the_image() -> None:
    images = some_images(1, 20, 30)
    boxes = torch.tensor([3.0, 7.0, 8.0, 8.0, 0.0, 1.0])[:, None]
    taps = crop_taps(boxes, "bilinear", 8, (20, 30), torch.device("cpu"))
    close(crop(images, *taps, clamp=False)[:, 0], as_float(images[0, :, 3:11, 7:15]).flip(-1), 1e-6)
