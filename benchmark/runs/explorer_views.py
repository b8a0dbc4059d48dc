"""What a report's explorer shows of an encoder at one point of its training: similar cells, predictions, neighbours.

For people, never for scores. Shape suffixes: B images, D channels, h w cells, N = h x w, H W pixels, P pool, K nearest.
"""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.datasets import first_images
from benchmark.evaluation.features import evaluation_mode, extract, full_precision
from benchmark.files.disk import write_atomically
from benchmark.randomness import generator
from benchmark.runs.method_views import IMAGES, without_normalisation
from cnn_jepa.masking import MaskSpec, check_spec
from cnn_jepa.sampling import sample_masks
from methods.base import Batch, Step

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.evaluation.features import Normalise
    from methods.base import Encoder, Method

    Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]

FOLDER = "glimpses"  # of a run's folder; `<percent of the budget>.npz`
POOL = 256  # training images among which neighbours are looked for
NEIGHBOURS = 4
LARGEST_GRID = 100  # cells; neighbouring cells of a larger one are averaged, so that a page stays small
MASK_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
MASK_BLOCKS = (1, 2, 3, 4, 6)
MASK_DRAWS = 3
_THUMBNAIL = 48  # pixels of a neighbour's side


def write_point(
    folder: Path,
    percent: int,
    method: Method[Any],
    encoder: Encoder,
    dataset: Dataset,
    normalise: Normalise,
    seed: int,
    known: Tensor | None = None,
) -> None:
    """Writes `glimpses/<percent>.npz` of the first training images. Weights, statistics and flags stay as they are.

    Arrays: those of `cell_similarity`, `predictions` and `neighbours`, and `plain`, the images as the encoder sees
    them, uint8 `(8, H, W, 3)`.

    Args:
        folder: the run's.
        encoder: as it is probed, on its device.
        normalise: turns uint8 images into the encoder's input.
        known: features `(n, D)` of the first training images by this encoder, which are not computed again.
    """
    device = next(encoder.parameters()).device
    pool = first_images(dataset.train, POOL)
    pixels = pool.images.read(torch.arange(min(IMAGES, len(pool))))
    plain_BCHW = normalise(pixels.to(device)).float()
    with torch.no_grad(), full_precision(), torch.autocast(device.type, enabled=False):
        with evaluation_mode(encoder):
            arrays = cell_similarity(encoder.feature_map(plain_BCHW))
        with evaluation_mode(method):
            arrays |= predictions(method, plain_BCHW, pool.labels[: len(pixels)].to(device), seed)
    features_PD = extract(encoder, pool.images, normalise, device, known=known)
    arrays |= neighbours(features_PD, pool.labels, len(pixels))
    places = torch.from_numpy(arrays["neighbours"]).long()
    arrays["neighbour_images"] = _pixels(normalise(pool.images.read(places.flatten())), dataset, _THUMBNAIL)
    arrays["plain"] = _pixels(plain_BCHW, dataset)
    _write(folder / FOLDER / f"{percent:03d}.npz", arrays)


def write_masks(folder: Path, method: Method[Any], seed: int) -> None:
    """Writes `glimpses/masks.npz`, the arrays of `mask_draws`; nothing for a method without masks."""
    if arrays := mask_draws(method, seed):
        _write(folder / FOLDER / "masks.npz", arrays)


def _write(path: Path, arrays: Arrays) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def cell_similarity(features_BDhw: Tensor) -> Arrays:
    """The cosine of every two cells of an image: `similarity`, int8 `(B, N, N)`, in parts of 127; `grid`, its `(h, w)`.

    Grids of more than `LARGEST_GRID` cells are averaged over 2 x 2 cells first, more than once if need be.
    """
    while features_BDhw.shape[-2] * features_BDhw.shape[-1] > LARGEST_GRID:
        features_BDhw = F.avg_pool2d(features_BDhw.float(), 2, ceil_mode=True)
    unit_BND = F.normalize(features_BDhw.float().flatten(2).mT, dim=-1)
    return {"similarity": _in_127(unit_BND @ unit_BND.mT), "grid": np.array(features_BDhw.shape[-2:])}


def predictions(method: Method[Any], plain_BCHW: Tensor, labels_B: Tensor, seed: int) -> Arrays:
    """Of a method that predicts features: how well it does on unchanged images, with the masks of `glimpse.npz`.

    Returns:
        `predicted_cosine`, float16 `(B, h, w)`, the cosine of prediction and target in each hidden cell, NaN elsewhere;
        `plain_context`, `plain_targets`, the masks. Empty for other methods.
    """
    views = tuple(plain_BCHW for _ in method.views)
    batch = Batch(views, labels_B, torch.arange(len(plain_BCHW)))
    seen = method.glimpse(batch, Step(1.0, 0, generator(seed, "glimpse masks")))
    if "predicted_BDhw" not in seen:
        return {}
    cosine_Bhw = F.cosine_similarity(seen["predicted_BDhw"].float(), seen["target_BDhw"].float(), dim=1)
    hidden_Bhw = seen["targets_BMhw"].any(1).to(cosine_Bhw.device)
    return {
        "predicted_cosine": cosine_Bhw.masked_fill(~hidden_Bhw, torch.nan).half().cpu().numpy(),
        "plain_context": seen["context_Bhw"].cpu().numpy(),
        "plain_targets": seen["targets_BMhw"].cpu().numpy(),
    }


def neighbours(features_PD: Tensor, labels_P: Tensor, images: int) -> Arrays:
    """The images of a pool that are most similar to each of its first ones, by the cosine of their features.

    Returns:
        `neighbours`, their places in the pool, int32 `(B, K)`, the most similar first; `neighbour_similarity`, int8, in
        parts of 127; `neighbour_same_class`.
    """
    unit_PD = F.normalize(features_PD.float(), dim=1)
    cosine_BP = unit_PD[:images] @ unit_PD.T
    cosine_BP.fill_diagonal_(-torch.inf)
    cosine_BK, places_BK = cosine_BP.topk(min(NEIGHBOURS, len(unit_PD) - 1), dim=1)
    labels_P = labels_P.cpu()
    return {
        "neighbours": places_BK.to(torch.int32).numpy(),
        "neighbour_similarity": _in_127(cosine_BK),
        "neighbour_same_class": (labels_P[places_BK] == labels_P[:images, None]).numpy(),
    }


def mask_draws(method: Method[Any], seed: int) -> Arrays:
    """Draws of the method's own sampler for other shares and numbers of blocks; empty for methods without masks.

    Returns:
        `mask_shares`, `mask_blocks`: what the draws are for; `mask_draws`: uint8 `(shares, blocks, draws, h, w)`, whose
        bit 0 is the context, bit 1 + m target block m. What cannot be drawn on the grid is 0 everywhere. Masks of
        single cells have no blocks: `mask_blocks` is then 0.
    """
    spec, grid = getattr(method.config, "masking", None), getattr(method, "grid", None)
    if not isinstance(spec, MaskSpec) or grid is None:
        return {}
    blocks = (0,) if spec.strategy == "random" else MASK_BLOCKS
    draws = np.zeros((len(MASK_SHARES), len(blocks), MASK_DRAWS, *grid), dtype=np.uint8)
    for i, share in enumerate(MASK_SHARES):
        for j, number in enumerate(blocks):
            asked = dataclasses.replace(spec, target_share=share, num_blocks=max(1, number))
            asked = dataclasses.replace(asked, strategy="multi_block" if number else "random")
            try:
                check_spec(asked, grid)
            except ValueError:
                continue
            masks = sample_masks(asked, MASK_DRAWS, grid, generator(seed, "explorer masks", i, j))
            bits = masks.context_Bhw.to(torch.uint8)
            for block in range(masks.targets_BMhw.shape[1]):
                bits |= masks.targets_BMhw[:, block].to(torch.uint8) << (1 + block)
            draws[i, j] = bits.numpy()
    return {"mask_shares": np.array(MASK_SHARES), "mask_blocks": np.array(blocks), "mask_draws": draws}


def _in_127(cosine: Tensor) -> np.ndarray[Any, np.dtype[np.int8]]:
    parts: np.ndarray[Any, np.dtype[np.int8]] = (127 * cosine).round().clamp(-127, 127).to(torch.int8).cpu().numpy()
    return parts


def _pixels(view_BCHW: Tensor, dataset: Dataset, largest: int | None = None) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A normalised view as uint8 `(B, H, W, 3)`, its sides at most `largest` pixels."""
    pixels_BCHW = without_normalisation(view_BCHW, dataset)
    if largest is not None and pixels_BCHW.shape[-1] > largest:
        pixels_BCHW = F.interpolate(pixels_BCHW, (largest, largest), mode="bilinear", antialias=True)
    array: np.ndarray[Any, np.dtype[np.uint8]] = (
        (pixels_BCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    )
    return array
