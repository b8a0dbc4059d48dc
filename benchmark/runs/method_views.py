"""Saves eight images as a method sees them: views, masks, and a picture of its features. For reports, never for scores.

Shape suffixes: B images, D channels, h w cells, V views.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from benchmark.data.views.crops import make_views
from benchmark.files import write_atomically
from benchmark.randomness import generator
from benchmark.training.profile import undone
from methods.base import Batch, Step

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.training.loop import Training

IMAGES = 8


def write_glimpse(path: Path, training: Training, dataset: Dataset) -> None:
    """Writes `glimpse.npz`: `images`, `view_0`, ... as uint8 `(8, H, W, 3)`, and where there are any `context`,
    `targets` (boolean) and `predicted_pca`, `target_pca` `(8, h, w, 3)` in [0, 1], with one projection for both.

    Args:
        training: gives method, views and seed; is left as it was.
        dataset: its first training images are shown.
    """  # fmt: skip  # noqa: D205
    ids_B = torch.arange(min(IMAGES, len(dataset.train.images)))
    images, device, seed = dataset.train.images, training.fabric.device, training.spec.seed
    views = make_views(images, ids_B, training.augmenter, generator(seed, "glimpse views"), device)
    arrays = {"images": images.read(ids_B).permute(0, 2, 3, 1).numpy()}
    for number, view_BCHW in enumerate(views):
        arrays[f"view_{number}"] = _as_pixels(view_BCHW, dataset.mean, dataset.std)
    batch = Batch(views, dataset.train.labels[ids_B].to(device), ids_B)
    with undone(training), torch.no_grad():
        seen = training.method.glimpse(batch, Step(1.0, training.step, generator(seed, "glimpse masks")))
    if "context_Bhw" in seen:
        arrays["context"] = seen["context_Bhw"].cpu().numpy()
        arrays["targets"] = seen["targets_BMhw"].cpu().numpy()
    if "predicted_BDhw" in seen:
        pictures = principal_components(seen["target_BDhw"].float().cpu(), seen["predicted_BDhw"].float().cpu())
        arrays["target_pca"], arrays["predicted_pca"] = (picture.numpy() for picture in pictures)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def _as_pixels(view_BCHW: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    scale, shift = (torch.tensor(values, device=view_BCHW.device).view(1, 3, 1, 1) for values in (std, mean))
    pixels = ((view_BCHW.float() * scale + shift).clamp(0, 1) * 255).round().to(torch.uint8)
    return np.asarray(pixels.permute(0, 2, 3, 1).cpu().numpy())


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
