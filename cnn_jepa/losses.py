"""Losses between predicted and target features at each position, and VICReg's regularisers."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

LossKind = Literal["smooth_l1", "mse", "huber", "cosine"]
Normalisation = Literal["l2", "layer", "batch", "none"]


def normalise(features: Tensor, kind: Normalisation, *, alone: bool = False) -> Tensor:
    """Normalises features `(..., D)`.

    To unit length (`l2`), each vector to zero mean and unit variance (`layer`), each channel to these over the whole
    batch, that of all processes (`batch`), or not at all (`none`).

    Args:
        alone: take the batch to be this process's share: the other processes do not call this.
    """
    features = features.float()
    if kind == "l2":
        return F.normalize(features, dim=-1)
    if kind == "layer":
        return F.layer_norm(features, features.shape[-1:])
    return _standardised(features, alone=alone) if kind == "batch" else features


def _standardised(features: Tensor, *, alone: bool, eps: float = 1e-5) -> Tensor:
    flat = features.flatten(0, -2)
    moments = torch.stack((flat.mean(0), flat.square().mean(0)))
    if not alone and distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(moments)
        moments = moments / distributed.get_world_size()  # processes have equal shares of the batch
    mean, square = moments
    standardised: Tensor = (features - mean) / ((square - mean.square()).clamp(min=0) + eps).sqrt()
    return standardised


def prediction_loss(predicted: Tensor, target: Tensor, kind: LossKind) -> Tensor:
    """The loss of each position `(...)` of features `(..., D)`, in float32.

    Sums over channels. For vectors of unit length `smooth_l1` (beta 1) then equals 1 - cosine, unless a single
    difference exceeds 1, which is rare in many dimensions. `huber` (delta 1) equals `smooth_l1`; both exist because the
    literature uses both names.
    """
    predicted, target = predicted.float(), target.float()
    if kind == "cosine":
        return 1 - F.cosine_similarity(predicted, target, dim=-1)
    if kind == "mse":
        return F.mse_loss(predicted, target, reduction="none").sum(-1)
    if kind == "huber":
        return F.huber_loss(predicted, target, reduction="none").sum(-1)
    return F.smooth_l1_loss(predicted, target, reduction="none").sum(-1)


def feature_loss(predicted: Tensor, target: Tensor, kind: LossKind, normalisation: Normalisation) -> Tensor:
    """The loss of each position `(...)` of features `(..., D)` after normalisation.

    `l2` normalises both sides, as CNN-JEPA does; `layer` the targets alone, as I-JEPA does; so does `batch`.
    """
    if normalisation == "l2":
        predicted = normalise(predicted, "l2")
    return prediction_loss(predicted, normalise(target, normalisation), kind)


def masked_mean(values: Tensor, mask: Tensor, count: float | None = None) -> Tensor:
    """The mean over the positions where `mask` is true, pooled over the batch; images with more of them weigh more.

    Args:
        values: one for each position.
        mask: boolean, of the same shape.
        count: the divisor, if it is not the number of these positions (`Masks.counts`).
    """
    weights = mask.to(values.dtype)
    return (values * weights).sum() / (weights.sum().clamp(min=1) if count is None else max(count, 1.0))


def variance_covariance(features_ND: Tensor, eps: float = 1e-4) -> tuple[Tensor, Tensor]:
    """VICReg's two regularisers of features `(N, D)` (2105.04906, equations 1 to 4).

    Returns:
        The hinge on the standard deviation, and the mean squared off-diagonal covariance summed over D / D.
    """
    centred = features_ND.float() - features_ND.float().mean(0)
    variance = F.relu(1 - (centred.square().mean(0) * len(centred) / max(len(centred) - 1, 1) + eps).sqrt()).mean()
    covariance = centred.T @ centred / max(len(centred) - 1, 1)
    off_diagonal = covariance.square().sum() - covariance.diagonal().square().sum()
    return variance, off_diagonal / features_ND.shape[1]
