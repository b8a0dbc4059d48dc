"""`depth-v1`: depth of each pixel by linear regression on frozen feature maps.

Shape suffixes: B images of a batch, N images, D channels, h w cells, S pixels of a side, C cells of a batch, M
strengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from benchmark.evaluation.dense.maps import (
    SHOWN,
    annotations_of,
    feature_maps,
    lacking,
    place_maps,
    rows_at_once,
    shown_images,
    statistics,
    upsampled,
)
from benchmark.evaluation.logistic import STRENGTHS
from benchmark.evaluation.ridge import ridge_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from benchmark.data.datasets import Split
    from benchmark.evaluation.dense.store import Store
    from benchmark.evaluation.subject import Subject

_CLOSE = 1.25


@dataclass(frozen=True)
class _Measured:
    """Feature maps `(N, D, h, w)` of a split, and its depths `(N, S, S)`, 0 where unknown."""

    maps: Store
    depths: Store


def depth(subject: Subject) -> dict[str, float]:
    """Errors of depth over all pixels of test whose depth is known.

    `depth_rmse` in the dataset's unit; `depth_abs_rel`, the mean of |error| / depth; `depth_delta1`, the percentage of
    pixels within a factor of 1.25 (Eigen et al., 1406.2283, section 4.3). Ridge regression of the mean log depth of
    each cell on standardised features, in closed form; its strength, one of `linear-v1`'s, is chosen on the validation
    split by RMSE. Predictions are interpolated (bilinear) and kept inside the range of train's depths.
    `depth_rmse_floor` is that of predicting train's mean log depth everywhere.

    Raises:
        NotApplicableError: the dataset has no depths, or a split none that is known.
    """
    train, validation, test = (
        _measured(subject, split) for split in (subject.data.train, subject.data.validation, subject.data.test)
    )
    fit = _fit(train)
    errors = _errors(fit, validation, range(len(STRENGTHS)))
    best = min(range(len(STRENGTHS)), key=lambda index: errors[index].rmse)
    kept: list[Tensor] = []
    (chosen,) = _errors(fit, test, [best], kept)
    floor = DepthErrors()
    for _, depths_BSS in test.depths.batches(256):
        floor.add(torch.full_like(depths_BSS, math.exp(fit.centre)), depths_BSS)
    prediction = torch.cat(kept)[:SHOWN]
    shown = torch.arange(len(prediction))
    subject.keep({"images": shown_images(subject), "truth": test.depths.read(shown), "prediction": prediction})
    return {
        "depth_rmse": chosen.rmse,
        "depth_abs_rel": chosen.abs_rel,
        "depth_delta1": chosen.delta1,
        "depth_rmse_floor": floor.rmse,
        "depth_rmse_validation": errors[best].rmse,
        "strength": STRENGTHS[best],
    }


@dataclass
class DepthErrors:
    """Errors of predicted depths, summed over the pixels whose depth is known."""

    pixels: int = 0
    _squares: float = field(default=0.0, repr=False)
    _relative: float = field(default=0.0, repr=False)
    _close: int = field(default=0, repr=False)

    def add(self, predicted: Tensor, truth: Tensor) -> None:
        """Adds pixels: depths above 0, of one shape; a truth of 0 is unknown."""
        known = truth > 0
        guess, depths = predicted[known].double(), truth[known].double()
        self.pixels += len(depths)
        self._squares += float((guess - depths).square().sum())
        self._relative += float(((guess - depths).abs() / depths).sum())
        self._close += int((torch.maximum(guess / depths, depths / guess) < _CLOSE).sum())

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return math.sqrt(self._squares / self.pixels)

    @property
    def abs_rel(self) -> float:
        """Mean of |error| / depth."""
        return self._relative / self.pixels

    @property
    def delta1(self) -> float:
        """Percentage of pixels whose depth is less than a factor of 1.25 off."""
        return 100.0 * self._close / self.pixels


@dataclass(frozen=True)
class _Fit:
    """Ridge regressions of log depth, one for each strength: standardisation `(D,)`, weights `(D, M)`, the mean."""

    mean_D: Tensor
    scale_D: Tensor
    weights_DM: Tensor
    centre: float
    nearest: float
    farthest: float

    def predict(self, maps_BDhw: Tensor, strength: int, size: int) -> Tensor:
        """Depths `(B, S, S)`, float32."""
        standard_BDhw = (maps_BDhw.double() - self.mean_D[:, None, None]) / self.scale_D[:, None, None]
        logs_Bhw = torch.einsum("bdhw,d->bhw", standard_BDhw, self.weights_DM[:, strength]) + self.centre
        depths_BSS = upsampled(logs_Bhw[:, None], size)[:, 0].exp()
        return depths_BSS.clamp(self.nearest, self.farthest).float()


def _measured(subject: Subject, split: Split) -> _Measured:
    read = annotations_of(subject, split).depth
    if read is None:
        raise lacking(subject, "depths")
    depths = place_maps(subject, split, read)
    if not any(bool((rows > 0).any()) for _, rows in depths.batches(256)):
        raise lacking(subject, "known depths in every split")
    return _Measured(feature_maps(subject, split), depths)


def log_depths(depths_BSS: Tensor, cells: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The mean log depth of each cell's known pixels, float64 `(B, h, w)`, and whether there are any."""
    known_BSS = depths_BSS > 0
    logs = torch.where(known_BSS, depths_BSS.double(), 1.0).log()
    share_Bhw = F.adaptive_avg_pool2d(known_BSS.double()[:, None], cells)[:, 0]
    sums_Bhw = F.adaptive_avg_pool2d(logs[:, None], cells)[:, 0]
    return sums_Bhw / share_Bhw.clamp_min(1e-12), share_Bhw > 0


def _fit(train: _Measured) -> _Fit:
    """Fits the cells of train whose depth is known; see `ridge_weights`."""
    cells = (train.maps.rows.shape[-2], train.maps.rows.shape[-1])
    # Over these cells alone: what lies elsewhere (sky) would move the centre of what is fitted.
    mean_D, scale_D = statistics(train.maps, lambda indices: log_depths(train.depths.read(indices), cells)[1])
    nearest, farthest = math.inf, 0.0
    total, count = 0.0, 0
    for _, depths_BSS in train.depths.batches(256):
        known = depths_BSS[depths_BSS > 0]
        if not len(known):
            continue
        nearest, farthest = min(nearest, float(known.min())), max(farthest, float(known.max()))
        logs_Bhw, there_Bhw = log_depths(depths_BSS, cells)
        total, count = total + float(logs_Bhw[there_Bhw].sum()), count + int(there_Bhw.sum())
    centre = total / count
    gram_DD = torch.zeros(len(mean_D), len(mean_D), dtype=torch.float64)
    products_D = torch.zeros(len(mean_D), dtype=torch.float64)
    for indices, maps_BDhw in train.maps.batches(64):
        logs_Bhw, there_Bhw = log_depths(train.depths.read(indices), cells)
        inputs_CD = (maps_BDhw.permute(0, 2, 3, 1)[there_Bhw].double() - mean_D) / scale_D
        gram_DD += inputs_CD.T @ inputs_CD
        products_D += inputs_CD.T @ (logs_Bhw[there_Bhw] - centre)
    weights_DM = ridge_weights(gram_DD / count, products_D, count)
    return _Fit(mean_D, scale_D, weights_DM, centre, nearest, farthest)


def _errors(
    fit: _Fit, split: _Measured, strengths: Sequence[int], predictions: list[Tensor] | None = None
) -> list[DepthErrors]:
    """The errors with some strengths; the first one's depths of the first images are added to `predictions`."""
    size = split.depths.rows.shape[-1]
    errors = [DepthErrors() for _ in strengths]
    for indices, maps_BDhw in split.maps.batches(rows_at_once(2, size)):
        depths_BSS = split.depths.read(indices)
        for error, strength in zip(errors, strengths, strict=True):
            predicted_BSS = fit.predict(maps_BDhw, strength, size)
            error.add(predicted_BSS, depths_BSS)
            if predictions is not None and indices[0] < SHOWN:
                predictions.append(predicted_BSS)
    return errors
