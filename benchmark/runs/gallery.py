"""A picture of a method's views: one row per image, first the image itself, then its views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError

from benchmark.data.decode import write_png
from benchmark.data.views.augment import Augmenter
from benchmark.data.views.crops import make_views
from benchmark.errors import UserError
from benchmark.experiment.explain import explain
from benchmark.experiment.files import find_recipe, read_recipe
from benchmark.randomness import generator
from methods.registry import method_class

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from benchmark.data.datasets import Dataset
    from methods.config import MethodConfig

IMAGES, _TIMES, _GAP, _LEAST = 8, 3, 4, 96


def view_config(method: str, recipe: str) -> MethodConfig:
    """A method's configuration by a recipe, which says what views it sees.

    Args:
        recipe: scale or file of its recipe.

    Raises:
        UserError: there is no such method or recipe, they do not fit, or the method sees no views.
    """
    path = find_recipe(recipe, method, None)
    try:
        kind = method_class(method)
        config: MethodConfig = kind.config_class.model_validate(read_recipe(path, method) if path else {})
    except ValidationError as error:
        raise UserError(explain(error, kind.config_class, str(path))) from None
    except ValueError as error:  # unknown, or a plug-in that cannot be used
        raise UserError(str(error)) from error
    if not config.views:
        raise UserError(f"{method} sees no views: it trains nothing")
    return config


def write_gallery(dataset: Dataset, method: str, recipe: str, path: Path, seed: int = 0) -> None:
    """Writes a PNG of eight training images and of three draws of a method's views of them.

    Args:
        recipe: scale or file of its recipe.

    Raises:
        UserError: the method has no views, or the file cannot be written.
    """
    config = view_config(method, recipe)
    count = min(IMAGES, len(dataset.train))
    indices = torch.arange(count)
    augmenter = Augmenter(config.views, dataset.image_size, dataset.mean, dataset.std)
    columns = [dataset.train.images.read(indices).float() / 255]
    for draw in range(_TIMES):
        draws = generator(seed, "gallery", draw)
        views = make_views(dataset.train.images, indices, augmenter, draws, torch.device("cpu"))
        columns += [_shown(view, dataset) for view in views]
    sheet = _sheet(columns)
    write_png(path, sheet)


def _shown(view_B3HW: Tensor, dataset: Dataset) -> Tensor:
    """A view before its normalisation."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (dataset.mean, dataset.std))
    return (view_B3HW * std + mean).clamp(0, 1)


def _sheet(columns: list[Tensor]) -> Tensor:
    """All columns `(B, 3, H, W)` in [0, 1] as one image, uint8 `(3, Y, X)`; small images are shown larger."""
    side = max(_LEAST, max(column.shape[-1] for column in columns))
    tiles = [torch.nn.functional.interpolate(column, (side, side), mode="nearest-exact") for column in columns]
    rows, width = len(tiles[0]), len(tiles)
    step = side + _GAP
    sheet = torch.full((3, rows * step - _GAP, width * step - _GAP + _GAP * 3), 255, dtype=torch.uint8)
    for column, tile in enumerate(tiles):
        left = column * step + (_GAP * 3 if column else 0)  # the images themselves stand apart
        for row in range(rows):
            pixels = (tile[row] * 255).round().to(torch.uint8)
            sheet[:, row * step : row * step + side, left : left + side] = pixels
    return sheet
