"""Eight images as a method sees them, for people and reports, never for scores: views, masks, features.

Shape suffixes: B images, D channels, h w cells, V views.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from benchmark.data.decode import write_png
from benchmark.data.views.augment import Augmenter
from benchmark.data.views.crops import make_views
from benchmark.errors import UserError
from benchmark.experiment.explain import explain
from benchmark.experiment.files import find_recipe, read_recipe
from benchmark.files.disk import write_atomically
from benchmark.randomness import generator
from benchmark.training.profile import undone
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Batch, Method, Step, Task
from methods.registry import method_class

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.training.loop import Training
    from methods.config import MethodConfig

IMAGES = 8
_DRAWS = 3  # of the views, in a gallery
_GAP, _LEAST_SIDE = 4, 96  # pixels, in a gallery
_SMALL_IMAGES = 96  # pixels, up to which a network of fine cells shows a method's masks
_MASKS = ("context (the hidden cells are grey)", "targets (a colour for each block)")
_GREY = 0.75
_TARGET_COLOURS = ((0.84, 0.37, 0.0), (0.0, 0.45, 0.70), (0.0, 0.62, 0.45), (0.80, 0.47, 0.65))


def write_glimpse(path: Path, training: Training, dataset: Dataset) -> None:
    """Writes `glimpse.npz` of the first training images; the training is left as it was.

    Arrays: `images`, `view_0`, ... as uint8 `(8, H, W, 3)`, and if the method has them `context`, `targets` (boolean),
    `reconstruction`, as the images, and `predicted_pca`, `target_pca` `(8, h, w, 3)` in [0, 1], with one projection for
    both.
    """
    ids_B = torch.arange(min(IMAGES, len(dataset.train.images)))
    images, device, seed = dataset.train.images, training.fabric.device, training.spec.seed
    views = make_views(images, ids_B, training.augmenter, generator(seed, "glimpse views"), device)
    arrays = {"images": images.read(ids_B).permute(0, 2, 3, 1).numpy()}
    arrays |= {f"view_{number}": _pixels(view_BCHW, dataset) for number, view_BCHW in enumerate(views)}
    batch = Batch(views, dataset.train.labels[ids_B].to(device), ids_B)
    with undone(training), torch.no_grad():
        seen = training.method.glimpse(batch, Step(1.0, training.step, generator(seed, "glimpse masks")))
    if "context_Bhw" in seen:
        arrays["context"] = seen["context_Bhw"].cpu().numpy()
        arrays["targets"] = seen["targets_BMhw"].cpu().numpy()
    if "predicted_BDhw" in seen:
        pictures = principal_components(seen["target_BDhw"].float().cpu(), seen["predicted_BDhw"].float().cpu())
        arrays["target_pca"], arrays["predicted_pca"] = (picture.numpy() for picture in pictures)
    if "reconstruction_BCHW" in seen:
        arrays["reconstruction"] = _pixels(seen["reconstruction_BCHW"], dataset)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def _pixels(images_BCHW: Tensor, dataset: Dataset) -> np.ndarray[Any, np.dtype[np.uint8]]:
    pixels = (without_normalisation(images_BCHW, dataset) * 255).round().to(torch.uint8)
    array: np.ndarray[Any, np.dtype[np.uint8]] = pixels.permute(0, 2, 3, 1).cpu().numpy()
    return array


def without_normalisation(view_BCHW: Tensor, dataset: Dataset) -> Tensor:
    """A view before its normalisation, in [0, 1]."""
    mean, std = (torch.tensor(values, device=view_BCHW.device).view(3, 1, 1) for values in (dataset.mean, dataset.std))
    return (view_BCHW.float() * std + mean).clamp(0, 1)


def principal_components(target_BDhw: Tensor, predicted_BDhw: Tensor) -> tuple[Tensor, Tensor]:
    """The first three principal components of unit-length target features, for both, as `(B, h, w, 3)` in [0, 1]."""
    maps = [torch.nn.functional.normalize(x.permute(0, 2, 3, 1), dim=-1) for x in (target_BDhw, predicted_BDhw)]
    flat_ND = maps[0].reshape(-1, maps[0].shape[-1])
    mean = flat_ND.mean(0)
    # The smallest set of directions is enough for a picture; full decomposition keeps it deterministic.
    _, _, directions = torch.linalg.svd(flat_ND - mean, full_matrices=False)
    projected = [(values - mean) @ directions[:3].T for values in maps]
    low, high = projected[0].flatten(0, 2).quantile(torch.tensor([0.02, 0.98]), dim=0)
    target, predicted = (((x - low) / (high - low).clamp(min=1e-6)).clamp(0, 1) for x in projected)
    return target, predicted


def view_config(method: str, recipe: str) -> MethodConfig:
    """A method's configuration by a recipe (its scale or file), which says what views the method sees.

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


def write_gallery(dataset: Dataset, method: str, recipe: str, path: Path, seed: int = 0) -> list[str]:
    """Writes a PNG of eight training images and of three draws of a method's views, and of its masks if it has any.

    Returns:
        What the columns show, for one draw.

    Raises:
        UserError: the method has no views, its masks do not fit the images, or the file cannot be written.
    """
    config = view_config(method, recipe)
    indices = torch.arange(min(IMAGES, len(dataset.train)))
    augmenter = Augmenter(config.views, dataset.image_size, dataset.mean, dataset.std)
    columns = [dataset.train.images.read(indices).float() / 255]
    masking = _masking(method, config, dataset)
    for draw in range(_DRAWS):
        draws = generator(seed, "gallery", draw)
        views = make_views(dataset.train.images, indices, augmenter, draws, torch.device("cpu"))
        shown = [without_normalisation(view, dataset) for view in views]
        columns += shown
        if masking is not None:
            batch = Batch(views, dataset.train.labels[indices], indices)
            with torch.no_grad():
                seen = masking.glimpse(batch, Step(1.0, 0, generator(seed, "gallery masks", draw)))
            columns += _masked(shown[0], seen["context_Bhw"], seen["targets_BMhw"])
    write_png(path, _sheet(columns))
    names = ["view"] if len(config.views) == 1 else [f"view {number}" for number in range(1, len(config.views) + 1)]
    return names + ([] if masking is None else list(_MASKS))


def _masking(method: str, config: MethodConfig, dataset: Dataset) -> Method[Any] | None:
    """The untrained method on a small network of its kind, to draw its masks; None for a method without any."""
    kind = method_class(method)
    if kind.glimpse is Method.glimpse:
        return None
    size = dataset.image_size
    small = size <= _SMALL_IMAGES
    if "cnn" in kind.backbone_kinds:
        network = BackboneSpec(name="resnet18", stem="small" if small else "imagenet", width=8)
    else:
        network = BackboneSpec(name="vit_tiny", patch_size=4 if small else 16, width=32, depth=1)
    try:
        network.grid(size)
        made = kind(config, build_backbone(network, size), Task(size, len(dataset.classes)))
    except ValueError as error:
        raise UserError(f"{method}: its masks cannot be drawn on images of {size} px ({error})") from None
    return made if {"context_Bhw", "targets_BMhw"} <= _glimpsed(made, dataset) else None


def _glimpsed(method: Method[Any], dataset: Dataset) -> set[str]:
    """What a method gives for a picture."""
    views = tuple(
        torch.zeros(2, 3, view.size or dataset.image_size, view.size or dataset.image_size) for view in method.views
    )
    batch = Batch(views, torch.zeros(2, dtype=torch.long), torch.arange(2))
    with torch.no_grad():
        return set(method.glimpse(batch, Step(1.0, 0, generator(0, "gallery masks"))))


def _masked(view_BCHW: Tensor, context_Bhw: Tensor, targets_BMhw: Tensor) -> list[Tensor]:
    """A view with all but the context grey; and faint, with each target block in a colour of its own."""
    side = view_BCHW.shape[-2:]

    def in_pixels(cells: Tensor) -> Tensor:
        """Masks `(B, ..., h, w)` as 0 or 1 in `(B, ..., H, W)`."""
        flat = cells.reshape(len(cells), -1, *cells.shape[-2:]).float()
        return torch.nn.functional.interpolate(flat, side, mode="nearest-exact").reshape(*cells.shape[:-2], *side)

    context_B1HW = in_pixels(context_Bhw)[:, None]
    visible = view_BCHW * context_B1HW + _GREY * (1 - context_B1HW)
    faint = 0.35 * view_BCHW + 0.65
    targets_BMHW = in_pixels(targets_BMhw)
    for number in range(targets_BMHW.shape[1]):
        colour_C11 = torch.tensor(_TARGET_COLOURS[number % len(_TARGET_COLOURS)]).view(3, 1, 1)
        block_B1HW = targets_BMHW[:, number, None]
        faint = torch.where(block_B1HW > 0, 0.55 * view_BCHW + 0.45 * colour_C11, faint)
    return [visible, faint]


def _sheet(columns: list[Tensor]) -> Tensor:
    """All columns `(B, 3, H, W)` in [0, 1] as one image, uint8 `(3, Y, X)`; small images are shown larger."""
    side = max(_LEAST_SIDE, max(column.shape[-1] for column in columns))
    tiles = [torch.nn.functional.interpolate(column, (side, side), mode="nearest-exact") for column in columns]
    rows, width = len(tiles[0]), len(tiles)
    step = side + _GAP
    sheet = torch.full((3, rows * step - _GAP, width * step - _GAP + _GAP * 3), 255, dtype=torch.uint8)
    for column, tile in enumerate(tiles):
        left = column * step + (_GAP * 3 if column else 0)  # a wider gap after the images themselves
        for row in range(rows):
            pixels = (tile[row] * 255).round().to(torch.uint8)
            sheet[:, row * step : row * step + side, left : left + side] = pixels
    return sheet
