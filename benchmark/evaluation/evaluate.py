"""Scores an encoder by the protocols that every run is scored by.

The test split is read at the end of a run alone, by `evaluate(..., "test", ...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from benchmark.evaluation.features import feature_std, rankme, recalibrated, unwatched
from benchmark.evaluation.protocols import PROTOCOLS
from benchmark.evaluation.subject import FrozenSubject
from benchmark.records.schema import EncoderScores, ValidationScores

if TYPE_CHECKING:
    import torch

    from benchmark.evaluation.features import Watch
    from benchmark.evaluation.subject import ProbeData
    from methods.base import Encoder

RECALIBRATION_IMAGES = 50_000
"""Batch-norm statistics come from this many images of the pretraining split at most; more would not change them."""


@overload
def evaluate(
    encoder: Encoder,
    data: ProbeData,
    split: Literal["test"],
    device: torch.device,
    *,
    watch: Watch = ...,
    before: FrozenSubject | None = ...,
) -> EncoderScores: ...


@overload
def evaluate(
    encoder: Encoder,
    data: ProbeData,
    split: Literal["validation"],
    device: torch.device,
    *,
    watch: Watch = ...,
    before: FrozenSubject | None = ...,
) -> ValidationScores: ...


def evaluate(
    encoder: Encoder,
    data: ProbeData,
    split: Literal["validation", "test"],
    device: torch.device,
    *,
    watch: Watch = unwatched,
    before: FrozenSubject | None = None,
) -> EncoderScores | ValidationScores:
    """Scores an encoder on one split, at the end of its run.

    The probe and the bank of neighbours see the train split alone; the probe's strength is chosen on validation.

    Args:
        split: `test` for a result; `validation` for a run that serves selection, which never reads the test split.
        before: the same encoder at the last evaluation point, where it had its final weights: its features are taken
            over instead of computed again.

    Raises:
        ValueError: a split is empty or the encoder's features are not finite.
    """
    encoder_ready = ready(encoder, data, device, watch)
    known = before if encoder_ready is encoder else None
    return scored(
        FrozenSubject(encoder=encoder_ready, data=data, device=device, split=split, watch=watch, before=known)
    )


def scored(subject: FrozenSubject) -> EncoderScores | ValidationScores:
    """The scores of an encoder that is ready, on the split of its subject. Errors as of `evaluate`."""
    info = subject.encoder.info
    described = {"weights": info.weights, "pooling": info.pooling, "dimension": info.dimension}
    schema = EncoderScores if subject.split == "test" else ValidationScores
    return schema.model_validate({**described, **_scores(subject)})


def evaluate_point(encoder: Encoder, data: ProbeData, device: torch.device) -> dict[str, float]:
    """Scores an encoder on the validation split, at an evaluation point of its run. Never reads the test split.

    The scores are in percent; `feature_std` and `rankme` of the validation features show a collapse.

    Raises:
        ValueError: a split is empty or the encoder's features are not finite.
    """
    return score_point(point_subject(encoder, data, device))


def point_subject(encoder: Encoder, data: ProbeData, device: torch.device, watch: Watch = unwatched) -> FrozenSubject:
    """The encoder as `score_point` takes it."""
    scored = ready(encoder, data, device, watch)
    return FrozenSubject(encoder=scored, data=data, device=device, split="validation", watch=watch)


def score_point(subject: FrozenSubject) -> dict[str, float]:
    """The scores that `evaluate_point` describes; the subject keeps the features."""
    scores = _scores(subject)
    return {**{name: scores[name] for name in ("linear_top1", "knn20", "knn200")}, **spread(subject)}


def spread(subject: FrozenSubject) -> dict[str, float]:
    """How far an encoder's features of the validation split spread: `feature_std` and `rankme`, small in a collapse."""
    features_ND = subject.validation[0]
    return {"feature_std": feature_std(features_ND), "rankme": rankme(features_ND)}


def ready(encoder: Encoder, data: ProbeData, device: torch.device, watch: Watch = unwatched) -> Encoder:
    """The encoder as it is scored: with batch-norm statistics of full images, if it needs recalibration."""
    return recalibrated(encoder, data.pretraining, data.normalise, device, limit=RECALIBRATION_IMAGES, watch=watch)


def images_needed(encoder: Encoder, data: ProbeData, split: Literal["validation", "test"]) -> int:
    """How many images pass an encoder to score it on a split, those for its batch-norm statistics included."""
    statistics = min(len(data.pretraining), RECALIBRATION_IMAGES) if encoder.info.recalibrate else 0
    return statistics + len(data.train) + len(data.validation) + (len(data.test) if split == "test" else 0)


def _scores(subject: FrozenSubject) -> dict[str, float]:
    scores = (protocol.load()(subject) for protocol in PROTOCOLS.values())
    return {name: value for part in scores for name, value in part.items()}
