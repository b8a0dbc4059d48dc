"""Feature maps of frozen encoders, and the label maps and depths of the same squares.

Shape suffixes: B images of a batch, N images, D channels, h w cells, C cells of a batch, S pixels of a side, K values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from benchmark.evaluation.dense.store import Store
from benchmark.evaluation.features import (
    NonFiniteError,
    batch_for,
    evaluation_mode,
    full_precision,
    input_batches,
)
from benchmark.evaluation.protocols import NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from benchmark.data.annotations import Annotations
    from benchmark.data.datasets import Split
    from benchmark.evaluation.subject import Subject
    from methods.base import Encoder

    ReadMaps = Callable[[Tensor], Tensor]

SHOWN = 8
"""Test images whose predictions are kept. The first ones are a random sample, because checksums order them."""

WORK_BYTES = 128 << 20
"""About how much memory the maps at full resolution of one batch may take."""


def last_map(encoder: Encoder, images_BCSS: Tensor) -> Tensor:
    """The last feature map, `(B, D, h, w)`."""
    return encoder.feature_map(images_BCSS)


def stage_maps(encoder: Encoder, images_BCSS: Tensor) -> Tensor:
    """All stages of a CNN, concatenated, on the grid of the last stage but one: `(B, D, h, w)`.

    Finer maps are averaged over each cell, the last one is interpolated (bilinear).

    Raises:
        NotApplicableError: the encoder has no stages.
    """
    try:
        maps = encoder.backbone.feature_maps(images_BCSS)
    except ValueError:
        raise NotApplicableError("needs the stages of a CNN; of a ViT, take segmentation-v1") from None
    rows, columns = maps[-2].shape[-2:]
    coarse = F.interpolate(maps[-1], (rows, columns), mode="bilinear", align_corners=False)
    return torch.cat([*(F.adaptive_avg_pool2d(each, (rows, columns)) for each in maps[:-1]), coarse], dim=1)


@torch.no_grad()
def feature_maps(subject: Subject, split: Split, make: Callable[[Encoder, Tensor], Tensor] = last_map) -> Store:
    """Frozen float32 feature maps `(N, D, h, w)` of a split, computed once.

    Args:
        make: gives the map of normalised images: `last_map` or `stage_maps`.

    Raises:
        NotApplicableError: the encoder has no such map.
        NonFiniteError: the maps are not finite.
    """

    def parts() -> Iterator[Tensor]:
        batches = torch.split(torch.arange(len(split)), batch_for(subject.device))
        inputs = input_batches(split.images, batches, subject.data.normalise, subject.device)
        with full_precision(), evaluation_mode(subject.encoder), torch.autocast(subject.device.type, enabled=False):
            for images_BCSS in inputs:
                maps_BDhw = make(subject.encoder, images_BCSS).float().contiguous().cpu()
                if not bool(maps_BDhw.isfinite().all()):
                    raise NonFiniteError("feature maps: not finite (NaN or infinite)")
                subject.watch("feature maps", len(maps_BDhw))
                yield maps_BDhw

    return Store(len(split), parts())


def annotations_of(subject: Subject, split: Split) -> Annotations:
    """A split's annotations.

    Raises:
        NotApplicableError: the dataset has none.
    """
    if split.annotations is None:
        raise lacking(subject, "label maps, depths or objects")
    return split.annotations


def lacking(subject: Subject, what: str) -> NotApplicableError:
    """The error for a dataset without what a protocol needs."""
    return NotApplicableError(f"needs {what}, which {subject.dataset.name} does not have", of_dataset=True)


def place_maps(subject: Subject, split: Split, read: ReadMaps) -> Store:
    """The label maps or depths `(N, S, S)` of the squares that the encoder sees."""
    size = subject.dataset.image_size
    parts = (
        cropped(read(indices), size) for indices in torch.split(torch.arange(len(split)), batch_for(subject.device))
    )
    return Store(len(split), parts)


def cropped(maps_BHW: Tensor, size: int) -> Tensor:
    """The middle of maps, as `center_view` crops images."""
    top, left = (round((side - size) / 2) for side in maps_BHW.shape[-2:])
    return maps_BHW[..., top : top + size, left : left + size]


def upsampled(maps_BKhw: Tensor, size: int) -> Tensor:
    """Maps of cells as maps of pixels, `(B, K, size, size)`, bilinear."""
    return F.interpolate(maps_BKhw, (size, size), mode="bilinear", align_corners=False)


def at_pixels(maps_BDhw: Tensor, pixels_BP2: Tensor, size: int) -> Tensor:
    """The values `(B, P, D)` that `upsampled` would have at some pixels, given as columns and rows.

    Interpolation and a 1x1 convolution commute, so that a head can be trained on features at pixels.
    """
    grid_BP2 = (2 * pixels_BP2.float() + 1) / size - 1
    values_BDP = F.grid_sample(maps_BDhw, grid_BP2[:, :, None], padding_mode="border", align_corners=False)[..., 0]
    return values_BDP.transpose(1, 2)


def rows_at_once(values: int, size: int) -> int:
    """How many images to take together where each has so many float32 values at every pixel."""
    return max(1, min(64, WORK_BYTES // (4 * values * size * size)))


def statistics(maps: Store, count: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over all cells of all images, float64 `(D,)`.

    The deviation of a constant channel is 1, as in `standardisation`.

    Args:
        count: which cells of some images count, boolean `(B, h, w)`; None for all of them.
    """

    def cells() -> Iterator[Tensor]:
        for indices, rows_BDhw in maps.batches(256):
            rows_BhwD = rows_BDhw.permute(0, 2, 3, 1)
            yield (rows_BhwD.flatten(0, 2) if count is None else rows_BhwD[count(indices)]).double()

    total = squares = torch.zeros(maps.rows.shape[1], dtype=torch.float64)
    number = 0
    for cells_CD in cells():
        total, number = total + cells_CD.sum(0), number + len(cells_CD)
    mean_D = total / number
    for cells_CD in cells():
        squares = squares + (cells_CD - mean_D).square().sum(0)
    deviation_D = (squares / number).sqrt()
    return mean_D, torch.where(deviation_D > 1e-6 * mean_D.abs(), deviation_D, 1.0)


def shown_images(subject: Subject) -> Tensor:
    """The pixels of the test images whose predictions are kept, uint8 `(n, 3, S, S)`."""
    indices = torch.arange(min(SHOWN, len(subject.data.test)))
    return cropped(subject.data.test.images.read(indices), subject.dataset.image_size)


def keep_label_maps(subject: Subject, labels: Store, predictions_BSS: Tensor) -> None:
    """Keeps the predicted label maps of the first test images, with the images and their true ones."""
    shown = torch.arange(min(SHOWN, len(predictions_BSS)))
    subject.keep(
        {
            "images": shown_images(subject),
            "truth": labels.read(shown),
            "prediction": predictions_BSS[shown].to(torch.uint8),
        }
    )
