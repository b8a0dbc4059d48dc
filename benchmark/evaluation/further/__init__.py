"""Protocols beyond the two that every run is scored by: low-shot, classifiers trained by SGD, fine-tuning, low level.

They look at the primary encoder of a finished run, and leave a file of their own beside its record. None of them
chooses anything on the test split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.evaluation.further import finetune, lowlevel, sgd
from benchmark.evaluation.further import frozen as lowshot
from benchmark.evaluation.further import frozen as transfer
from benchmark.evaluation.further.subject import Subject
from benchmark.evaluation.protocols import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FURTHER", "TRANSFER", "Subject", "score"]

TRANSFER = "transfer-v1"

FURTHER: dict[str, Protocol] = {
    "lowshot-v1": Protocol(
        1,
        "linear-v1 on 1% and 10% of train's labels, the mean of five draws that are the same for every entry; strength "
        "chosen on the whole validation split",
    ),
    "linear-sgd-v1": Protocol(
        1,
        "the field's usual probe: linear classifier on random crops and flips, SGD for 100 epochs, cosine; the last "
        "epoch; learning rate chosen on the validation split",
    ),
    "linear-cnnjepa": Protocol(
        1, "as in CNN-JEPA's repository: linear classifier on features of centre crops, Adam 1e-3, 90 epochs; the last"
    ),
    "finetune-v1": Protocol(
        1,
        "the whole network trained with labels from these weights: AdamW for 20 epochs on crops and flips; learning "
        "rate chosen on the validation split",
    ),
    TRANSFER: Protocol(1, "linear-v1 and knn-v1 of the frozen encoder on another dataset (--dataset)"),
    "lowlevel-v1": Protocol(
        1,
        "what frozen features keep of a scene, on shapes: number of objects (linear-v1), scale and position (ridge "
        "regression, R2)",
    ),
}

_RUN: dict[str, Callable[[Subject], dict[str, float]]] = {
    "lowshot-v1": lowshot.lowshot,
    "linear-sgd-v1": sgd.linear_sgd,
    "linear-cnnjepa": sgd.linear_cnnjepa,
    "finetune-v1": finetune.finetune,
    TRANSFER: transfer.transfer,
    "lowlevel-v1": lowlevel.lowlevel,
}


def score(protocol: str, subject: Subject) -> dict[str, float]:
    """Carries out a protocol; accuracies in percent, by name.

    Args:
        protocol: one of `FURTHER`.
        subject: who is probed, and on what.

    Raises:
        UserError: the dataset lacks what the protocol needs.
        ValueError: the encoder's features are not finite.
    """
    return _RUN[protocol](subject)
