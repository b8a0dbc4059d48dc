"""Colour operations are torchvision's, each image with its own factor."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from view_images import FLOAT_ERROR, UINT8_ERROR, as_float, close, planes, some_images

from benchmark.data.views import color


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("brightness", [0.0, 0.3, 0.9, 1.0, 1.4, 2.5]),
        ("contrast", [0.0, 0.3, 0.9, 1.0, 1.4, 2.5]),
        ("saturation", [0.0, 0.3, 0.9, 1.0, 1.4, 2.5]),
        ("hue", [-0.5, -0.21, 0.0, 0.04, 0.37, 0.5]),
    ],
)
def test_each_adjustment_is_torchvisions(name: str, factors: list[float]) -> None:
    images = some_images()
    operation = getattr(reference, f"adjust_{name}")
    adjusted = planes(images)
    getattr(color, f"adjust_{name}")(adjusted, torch.tensor(factors))
    for index, factor in enumerate(factors):
        close(adjusted[:, index], operation(as_float(images[index]), factor), FLOAT_ERROR)
        close(adjusted[:, index], as_float(operation(images[index], factor)), UINT8_ERROR)


def test_grayscale_is_torchvisions() -> None:
    images = some_images()
    grey = planes(images)
    color.to_grayscale(grey)
    close(grey.transpose(0, 1), reference.rgb_to_grayscale(as_float(images), 3), FLOAT_ERROR)
    close(grey.transpose(0, 1), as_float(reference.rgb_to_grayscale(images, 3)), UINT8_ERROR)
    close(color.luma(planes(images)), reference.rgb_to_grayscale(as_float(images))[:, 0], FLOAT_ERROR)


@pytest.mark.parametrize("threshold", [0, 1, 128, 200, 255])
def test_solarize_is_torchvisions_at_every_uint8_value(threshold: int) -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    solarized = planes(images)
    color.solarize(solarized, threshold / 255)
    close(solarized.transpose(0, 1), as_float(reference.solarize(images, threshold)), FLOAT_ERROR)
