"""The frozen, versioned protocols that score encoders: one table. Importing this module does not import torch.

A change that can move a score gets a new version and a new name; an old version is never changed. A new protocol is a
function in a file of its own and an entry in the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from methods.config import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmark.evaluation.subject import Subject

TRANSFER = "transfer-v1"
DENSE = "dense"


class NotApplicableError(UserError):
    """A protocol does not apply to an encoder, or to a dataset that lacks what it needs.

    Attributes:
        of_dataset: whether it is for want of something in the dataset, so that it applies to no encoder.
    """

    def __init__(self, reason: str, *, of_dataset: bool = False) -> None:
        super().__init__(reason)
        self.of_dataset = of_dataset


@dataclass(frozen=True)
class Protocol:
    """A way to score an encoder.

    Attributes:
        function: `module:function` in this package, imported at first use. It takes a `FrozenSubject`, or a `Subject`
            where the protocol is run on request, and returns scores by name, accuracies in percent.
        every_run: whether every run is scored by it. The others are run on request, on the primary encoder of a
            finished run, and leave a file of their own beside its record.
        group: a name that stands for several protocols where they are asked for.
    """

    description: str
    function: str
    every_run: bool = False
    version: int = 1
    group: str = ""

    def load(self) -> Callable[[Any], dict[str, float]]:
        """Imports the function, and torch with it."""
        module, name = self.function.split(":")
        function: Callable[[Any], dict[str, float]] = getattr(import_module(f"{__package__}.{module}"), name)
        return function


_TABLE: dict[str, Protocol] = {
    "linear-v1": Protocol(
        "multinomial logistic regression (L-BFGS) on standardised frozen features; L2 strength chosen on the "
        "validation split, trained on train, test top-1 and top-5",
        "linear:linear_v1",
        every_run=True,
    ),
    "knn-v1": Protocol(
        "weighted vote of nearest neighbours by cosine similarity in train: knn20 (temperature 0.07) and knn200 "
        "(0.1), k capped at the smallest class",
        "knn:knn_v1",
        every_run=True,
    ),
    "lowshot-v1": Protocol(
        "linear-v1 on 1% and 10% of train's labels, the mean of five draws that are the same for every entry; strength "
        "chosen on the whole validation split",
        "further.frozen:lowshot",
    ),
    "linear-sgd-v1": Protocol(
        "the field's usual probe: linear classifier on random crops and flips, SGD for 100 epochs with a cosine "
        "schedule, scored after the last; learning rate chosen on the validation split",
        "further.sgd:linear_sgd",
    ),
    "linear-cnnjepa": Protocol(
        "as in CNN-JEPA's repository: linear classifier on features of centre crops, Adam 1e-3, 90 epochs, "
        "scored after the last",
        "further.sgd:linear_cnnjepa",
    ),
    "finetune-v1": Protocol(
        "the whole network fine-tuned with labels: AdamW for 20 epochs on crops and flips; learning "
        "rate chosen on the validation split",
        "further.finetune:finetune",
    ),
    TRANSFER: Protocol(
        "linear-v1 and knn-v1 of the frozen encoder on another dataset (--dataset)",
        "further.frozen:transfer",
    ),
    "lowlevel-v1": Protocol(
        "properties of scenes predicted from frozen features, on shapes: number of objects (linear-v1), scale and "
        "position (ridge regression, R2)",
        "further.frozen:lowlevel",
    ),
    "segmentation-v1": Protocol(
        "a label for each pixel: batch norm and a 1x1 convolution on the frozen last feature map, interpolated to the "
        "image; SGD for 20 epochs, learning rate and L2 strength chosen on the validation split; mIoU and pixel "
        "accuracy",
        "dense.segmentation:segmentation",
        group=DENSE,
    ),
    "segmentation-stages-v1": Protocol(
        "segmentation-v1 on all stages of a CNN together",
        "dense.segmentation:segmentation_stages",
        group=DENSE,
    ),
    "segmentation-knn-v1": Protocol(
        "a label for each pixel by a vote of the 30 nearest cells among 20,000 of train; nothing is trained or chosen",
        "dense.patches:segmentation_knn",
        group=DENSE,
    ),
    "depth-v1": Protocol(
        "depth of each pixel: ridge regression of the cells' log depth on the frozen last feature map, strength chosen "
        "on the validation split; RMSE, absolute relative error, delta < 1.25",
        "dense.depth:depth",
        group=DENSE,
    ),
    "counting-v1": Protocol(
        "the number of objects: ridge regression on frozen features, strength chosen on the validation split; mean "
        "absolute and root mean squared error",
        "dense.counting:counting",
        group=DENSE,
    ),
    "detection-v1": Protocol(
        "boxes of objects: the encoder fine-tuned as the backbone of Faster R-CNN with a feature pyramid, 12 epochs, "
        "learning rate chosen on the validation split; COCO's AP (extra detection)",
        "dense.detection:detection",
        group=DENSE,
    ),
    "instances-v1": Protocol(
        "masks of objects: detection-v1 by Mask R-CNN; COCO's AP of boxes and masks (extra detection)",
        "dense.detection:instances",
        group=DENSE,
    ),
}

PROTOCOLS = {name: protocol for name, protocol in _TABLE.items() if protocol.every_run}
FURTHER = {name: protocol for name, protocol in _TABLE.items() if not protocol.every_run}


GROUPS = {
    group: tuple(name for name, protocol in FURTHER.items() if protocol.group == group)
    for group in dict.fromkeys(protocol.group for protocol in FURTHER.values() if protocol.group)
}


def expanded(names: Iterable[str]) -> tuple[str, ...]:
    """Names of protocols, each once, with those of a group in its place."""
    return tuple(dict.fromkeys(name for given in names for name in GROUPS.get(given, (given,))))


def check_further(names: Iterable[str], other_dataset: str | None) -> None:
    """Raises UserError for further protocols that do not exist or lack their dataset; None is the runs' own."""
    for name in names:
        if name not in FURTHER:
            raise UserError(f"unknown protocol '{name}'; {nearest(name, (*FURTHER, *GROUPS))}")
        if name == TRANSFER and other_dataset is None:
            raise UserError(f"{TRANSFER} needs --dataset NAME, the dataset to transfer to")


def score(protocol: str, subject: Subject) -> dict[str, float]:
    """Scores of a finished run's encoder by a further protocol. None chooses anything on the test split.

    Raises:
        UserError: the dataset lacks what the protocol needs; a `NotApplicableError` where that was foreseen.
        ValueError: the encoder's features are not finite.
    """
    return FURTHER[protocol].load()(subject)
