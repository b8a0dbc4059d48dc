"""Declared views: ranges that make sense, and the blur's kernel."""

from __future__ import annotations

import pytest

from methods.views import ViewSpec


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_scale": (0.5, 0.2)}, r"crop_scale is \(0\.5, 0\.2\); the lower end comes first"),
        ({"crop_ratio": (2.0, 1.0)}, "crop_ratio is"),
        ({"blur_sigma": (2.0, 0.1)}, "blur_sigma is"),
        ({"blur_kernel": 4}, "blur_kernel is 4; it has to be odd"),
        ({"flip": 1.5}, "less than or equal to 1"),
        ({"hue": 0.6}, r"less than or equal to 0\.5"),
        ({"crop_scale": (0.0, 1.0)}, "greater than 0"),
        ({"blurr": 0.5}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_make_no_view_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViewSpec.model_validate(settings)


@pytest.mark.parametrize(("size", "side"), [(16, 3), (32, 3), (48, 5), (96, 9), (224, 23)])
def test_the_blur_covers_a_tenth_of_the_view(size: int, side: int) -> None:
    assert ViewSpec().kernel(size) == side
    assert ViewSpec(blur_kernel=7).kernel(size) == 7
