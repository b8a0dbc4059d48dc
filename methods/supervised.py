"""Supervised training: the upper reference of the comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import nn

from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import MethodConfig, OptimizerSpec, redefined
from methods.losses import full_precision
from methods.views import ViewSpec

if TYPE_CHECKING:
    from torch import Tensor

    from methods.backbones import Backbone


class SupervisedConfig(MethodConfig):
    """The settings of supervised training; the defaults are the recipe for small images.

    Attributes:
        label_smoothing: share of a label that is spread over all classes.
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = redefined(
        OptimizerSpec(lr=1.5e-2, weight_decay=0.023, warmup=0.26), first=OptimizerSpec(lr=1e-3, weight_decay=0.01)
    )
    views: tuple[ViewSpec, ...] = (ViewSpec(crop_scale=(0.5, 1.0)),)
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class Supervised(Method[SupervisedConfig]):
    """Cross-entropy of a linear classifier on the backbone's features.

    Its encoder is probed like every other; the classifier's own accuracy on training views is logged with the loss.
    """

    name = "supervised"
    colour = "#000000"
    config_class = SupervisedConfig
    view_count = 1
    reads_labels = True

    def __init__(self, config: SupervisedConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.classifier = nn.Linear(backbone.dimension, task.num_classes)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """Mean cross-entropy; logs `accuracy` in percent."""
        logits = self.classifier(self.backbone.features(batch.views[0]))
        with full_precision(logits.device):
            loss = F.cross_entropy(logits.float(), batch.labels, label_smoothing=self.config.label_smoothing)
        accuracy = 100 * (logits.detach().argmax(dim=1) == batch.labels).float().mean()
        return LossOutput(loss, {"accuracy": accuracy})

    def classify(self, images: Tensor) -> Tensor:
        """The classifier's logits `(B, classes)`."""
        logits: Tensor = self.classifier(self.backbone.features(images))
        return logits
