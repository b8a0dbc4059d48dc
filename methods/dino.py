"""DINO: match a centred, sharpened moving-average network's assignments of other crops (Caron et al. 2021).

Shape suffixes: B images, P prototypes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from lightly.loss.dino_loss import DINOLoss
from pydantic import model_validator
from torch import Tensor

from methods.base import Batch, Encoder, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec, Positive, Share
from methods.ema import EMASpec, frozen_copy, update
from methods.heads import PrototypeHead
from methods.losses import full_precision, group_mean
from methods.views import ViewSpec, colour_view

if TYPE_CHECKING:
    from methods.backbones import Backbone

_GLOBAL, _LOCAL = colour_view(crop_scale=(0.4, 1.0), saturation=0.2), colour_view(crop_scale=(0.1, 0.4), saturation=0.2)


class DINOConfig(MethodConfig):
    """DINO's settings; the defaults are the recipe for small images.

    Attributes:
        global_views: how many of the views, the first ones, the teacher sees.
        prototypes: P, outputs of the head.
        head_hidden: width of the head's hidden layers.
        bottleneck: dimension in which prototypes lie.
        student_temperature: what the student's similarities are divided by.
        teacher_temperature: likewise, after the warm-up.
        teacher_temperature_start: at progress 0.
        teacher_warmup: share of progress in which the teacher's temperature rises linearly.
        centre_momentum: of the centre that is subtracted from the teacher's similarities.
        freeze_prototypes: share of progress in which the prototypes stay as they were drawn.
        ema: how fast the teacher follows.
    """

    primary: Literal["online", "ema"] = "ema"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=0.04, clip=3.0)
    views: tuple[ViewSpec, ...] = (
        _GLOBAL,
        _GLOBAL.model_copy(update={"solarize": 0.2}),
        *(_LOCAL.model_copy(update={"size": 16}) for _ in range(4)),
    )
    global_views: Count = 2
    prototypes: Count = 1024
    head_hidden: Count = 512
    bottleneck: Count = 128
    student_temperature: Positive = 0.1
    teacher_temperature: Positive = 0.07
    teacher_temperature_start: Positive = 0.04
    teacher_warmup: Share = 0.3
    centre_momentum: Share = 0.9
    freeze_prototypes: Share = 0.01
    ema: EMASpec = EMASpec(start=0.99)

    @model_validator(mode="after")
    def _two_views(self) -> DINOConfig:
        if not self.global_views <= len(self.views) or len(self.views) < 2:
            raise ValueError(
                f"global_views is {self.global_views} of {len(self.views)} views; expected two views or more"
            )
        return self

    def sharpness(self, progress: float) -> float:
        """The teacher's temperature."""
        share = min(1.0, progress / self.teacher_warmup) if self.teacher_warmup else 1.0
        return self.teacher_temperature_start + share * (self.teacher_temperature - self.teacher_temperature_start)


class DINO(Method[DINOConfig]):
    """DINO (section 3): a student sees all crops, its moving average the global ones; centring prevents collapse."""

    name = "dino"
    display_name = "DINO"
    colour = "#9b2d86"
    config_class = DINOConfig

    def __init__(self, config: DINOConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.head = PrototypeHead(
            *(backbone.dimension, config.head_hidden, config.bottleneck, config.prototypes),
            batch_norm=backbone.spec.kind == "cnn",
        )
        self.target_backbone = frozen_copy(self.backbone)
        self.target_head = frozen_copy(self.head)
        # Its centre is a buffer; a momentum of 1 leaves the moving to `after_step`.
        self.criterion = DINOLoss(config.prototypes, student_temp=config.student_temperature, center_momentum=1.0)
        self._seen: list[Tensor] = []

    @classmethod
    def encoder_passes(cls, config: Any) -> tuple[int, ...]:
        """Global views pass student and teacher, local ones the student."""
        return tuple(2 if number < config.global_views else 1 for number in range(len(config.views)))

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The mean cross-entropy of all pairs of a teacher's and another student's view (equation 3)."""
        student = [self.head(self.backbone.features(view)).float() for view in batch.views]
        with torch.no_grad():
            seen = batch.views[: self.config.global_views]
            teacher = [self.target_head(self.target_backbone.features(view)).float() for view in seen]
            self._seen.append(torch.stack(teacher).mean((0, 1)))
        with full_precision(student[0].device):
            return LossOutput(self.criterion(teacher, student, teacher_temp=self.config.sharpness(step.progress)))

    def after_backward(self, step: Step) -> None:
        """Holds the prototypes at the beginning."""
        if step.progress < self.config.freeze_prototypes:
            self.head.hold_prototypes()

    def after_step(self, step: Step) -> None:
        """Moves the centre towards the mean of what the teacher said (equation 4), and the teacher to the student."""
        mean_P = group_mean(torch.stack(self._seen).mean(0))
        self.criterion.center.lerp_(mean_P.expand_as(self.criterion.center), 1 - self.config.centre_momentum)
        self._seen.clear()
        momentum = self.config.ema.momentum(step)
        update(self.target_backbone, self.backbone, momentum)
        update(self.target_head, self.head, momentum)

    def encoders(self) -> dict[str, Encoder]:
        """The student, and the teacher, which is the published one."""
        return {**super().encoders(), "ema": Encoder(self.target_backbone, self._info("ema"))}
