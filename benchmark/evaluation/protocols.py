"""The frozen, versioned protocols that every encoder is scored by.

A change that can move a score gets a new version and a new name; an old version is never changed. The test split is
read in `evaluate_test` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from benchmark.data.views.augment import center_view
from benchmark.evaluation.features import extract, feature_std, rankme, recalibrated
from benchmark.evaluation.knn import knn_scores
from benchmark.evaluation.linear import linear_probe
from benchmark.records.schema import EncoderScores, ValidationScores

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from benchmark.data.datasets import Dataset, Split
    from benchmark.data.images import Images
    from methods.base import Encoder

RECALIBRATION_IMAGES = 50_000
"""Batch-norm statistics come from this many images of the pretraining split at most; more would not change them."""


@dataclass(frozen=True)
class Protocol:
    """A protocol's version, and what it does in a line."""

    version: int
    description: str


PROTOCOLS: dict[str, Protocol] = {
    "linear-v1": Protocol(
        1,
        "multinomial logistic regression (L-BFGS) on standardised frozen features; L2 strength chosen on the "
        "validation split, trained on train, test top-1 and top-5",
    ),
    "knn-v1": Protocol(
        1,
        "weighted vote of nearest neighbours by cosine similarity in train: knn20 (temperature 0.07) and knn200 "
        "(0.1), k capped at the smallest class",
    ),
}


@dataclass(frozen=True)
class ProbeData:
    """What encoders are probed on.

    Attributes:
        pretraining: for batch-norm statistics where an encoder needs them.
        train: the probe learns from it; the bank of neighbours.
        validation: the strength is chosen on it; scored during training.
        test: scored once, at the end.
        num_classes: K.
        normalise: turns uint8 images `(B, 3, H, W)` into the encoder's input `(B, 3, S, S)`.
    """

    pretraining: Images
    train: Split
    validation: Split
    test: Split
    num_classes: int
    normalise: Callable[[Tensor], Tensor]


def probe_data(dataset: Dataset, image_size: int) -> ProbeData:
    """A dataset's splits for encoders that take images of `image_size` pixels."""
    normalise = partial(center_view, image_size=image_size, mean=dataset.mean, std=dataset.std)
    return ProbeData(
        pretraining=dataset.pretraining.images,
        train=dataset.train,
        validation=dataset.validation,
        test=dataset.test,
        num_classes=len(dataset.classes),
        normalise=normalise,
    )


def evaluate_validation(
    encoder: Encoder, data: ProbeData, device: torch.device, precision: Literal["32", "bf16"]
) -> dict[str, float]:
    """Scores an encoder on the validation split, while its run is under way. Never reads the test split.

    Args:
        encoder: stays as it is.
        data: splits and how to read them.
        device: where features are extracted and probes are fitted.
        precision: of the extraction; `32` for what is compared (see `extract`).

    Returns:
        `linear_top1`, `knn20` and `knn200` in percent; `feature_std` and `rankme` of the validation features, by
        which a collapse is seen.

    Raises:
        ValueError: a split is empty or the encoder's features are not finite.
    """
    probed = ready(encoder, data, device)
    train = _features(probed, data.train, data, device, precision)
    validation = _features(probed, data.validation, data, device, precision)
    linear = linear_probe(train, validation, None, data.num_classes, device=device)
    neighbours = knn_scores(train, validation, data.num_classes, device=device)
    spread = {"feature_std": feature_std(validation[0]), "rankme": rankme(validation[0])}
    return {"linear_top1": linear.validation_top1, **neighbours, **spread}


def evaluate_test(
    encoder: Encoder, data: ProbeData, device: torch.device, precision: Literal["32", "bf16"]
) -> EncoderScores:
    """Scores an encoder on the test split, once, at the end of its run.

    Probe and bank are made from train alone; the probe's strength is chosen on validation.

    Args:
        encoder: stays as it is.
        data: splits and how to read them.
        device: where features are extracted and probes are fitted.
        precision: of the extraction; `32` for what is compared (see `extract`).

    Raises:
        ValueError: a split is empty or the encoder's features are not finite.
    """
    probed = ready(encoder, data, device)
    train = _features(probed, data.train, data, device, precision)
    validation = _features(probed, data.validation, data, device, precision)
    test = _features(probed, data.test, data, device, precision)
    linear = linear_probe(train, validation, test, data.num_classes, device=device)
    assert linear.test_top1 is not None and linear.test_top5 is not None
    return EncoderScores(
        weights=encoder.info.weights,
        pooling=encoder.info.pooling,
        dimension=encoder.info.dimension,
        linear_top1=linear.test_top1,
        linear_top5=linear.test_top5,
        linear_strength=linear.strength,
        linear_validation_top1=linear.validation_top1,
        **knn_scores(train, test, data.num_classes, device=device),
    )


def evaluate_trial(
    encoder: Encoder, data: ProbeData, device: torch.device, precision: Literal["32", "bf16"]
) -> ValidationScores:
    """Scores an encoder at the end of a run that serves selection. Never reads the test split.

    Args:
        encoder: stays as it is.
        data: splits and how to read them.
        device: where features are extracted and probes are fitted.
        precision: of the extraction; `32` for what is compared (see `extract`).

    Raises:
        ValueError: a split is empty or the encoder's features are not finite.
    """
    probed = ready(encoder, data, device)
    train = _features(probed, data.train, data, device, precision)
    validation = _features(probed, data.validation, data, device, precision)
    linear = linear_probe(train, validation, None, data.num_classes, device=device)
    return ValidationScores(
        weights=encoder.info.weights,
        pooling=encoder.info.pooling,
        dimension=encoder.info.dimension,
        linear_top1=linear.validation_top1,
        linear_strength=linear.strength,
        **knn_scores(train, validation, data.num_classes, device=device),
    )


def ready(encoder: Encoder, data: ProbeData, device: torch.device) -> Encoder:
    """The encoder as it is probed: with batch-norm statistics of full images, where it has none of its own."""
    return recalibrated(encoder, data.pretraining, data.normalise, device, limit=RECALIBRATION_IMAGES)


def _features(
    encoder: Encoder, split: Split, data: ProbeData, device: torch.device, precision: Literal["32", "bf16"]
) -> tuple[Tensor, Tensor]:
    features = extract(encoder, split.images, data.normalise, device, precision=precision)
    return features, split.labels.cpu().long()
