"""The views of the ImageNet recipes against what was published."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from methods.registry import method_class
from methods.views import ViewSpec

_FOLDER = Path(__file__).parents[2] / "configs" / "recipes"
_COLOURS = {"jitter": 0.8, "grayscale": 0.2, "flip": 0.5, "crop_scale": (0.08, 1.0), "blur_sigma": (0.1, 2.0)}
_BYOL = {**_COLOURS, "brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1}
_SIMCLR = {**_COLOURS, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2, "blur": 0.5, "solarize": 0.0}
_VICREG = {**_BYOL, "blur": 0.5, "solarize": 0.1}

# CNN-JEPA's repository at f1b8135 for its own views and the three baselines'; I-JEPA's at 52c1ae9.
_PUBLISHED = {
    "byol": [{**_BYOL, "blur": 1.0, "solarize": 0.0}, {**_BYOL, "blur": 0.1, "solarize": 0.2}],
    "simclr": [_SIMCLR, _SIMCLR],
    "vicreg": [_VICREG, _VICREG],
    "cnn_jepa": [{"crop_scale": (0.2, 1.0), "flip": 0.5, "interpolation": "bicubic"}],
    "ijepa": [{"crop_scale": (0.3, 1.0), "flip": 0.0, "interpolation": "bilinear"}],
}


def _views(scale: str, name: str) -> tuple[ViewSpec, ...]:
    recipe = yaml.safe_load((_FOLDER / scale / f"{name}.yaml").read_text(encoding="utf-8"))
    return method_class(name).config_class.model_validate(recipe["settings"]).views


@pytest.mark.parametrize("name", _PUBLISHED)
def test_imagenet_views(name: str) -> None:
    # A full comparison: what is not listed has to be off.
    expected = tuple(ViewSpec(**{"solarize": 0.0, "blur": 0.0, **view}) for view in _PUBLISHED[name])  # type: ignore[arg-type]
    assert _views("imagenet", name) == expected
    assert all(view.solarize_threshold == 128 / 255 for view in expected)
    assert all(view.crop_ratio == (3 / 4, 4 / 3) for view in expected)


@pytest.mark.parametrize("name", ["byol", "simclr", "vicreg"])
def test_small_views_have_half_the_colour_and_no_blur(name: str) -> None:
    for view in _views("small", name):
        assert (view.jitter, view.brightness, view.contrast, view.hue) == (0.8, 0.4, 0.4, 0.1)
        assert (view.grayscale, view.blur, view.crop_scale) == (0.2, 0.0, (0.2, 1.0))


@pytest.mark.parametrize("name", ["cnn_jepa", "ijepa"])
def test_jepas_see_no_colour_changes_at_either_scale(name: str) -> None:
    small, large = _views("small", name), _views("imagenet", name)
    assert len(small) == len(large) == 1
    assert small[0].crop_scale == large[0].crop_scale
    assert small[0].jitter == small[0].grayscale == small[0].blur == small[0].solarize == 0.0
