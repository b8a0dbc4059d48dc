"""BYOL: predict a moving-average network's projection of another view (Grill et al. 2020).

Shape suffixes: B images, D dimension of the projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from lightly.loss.negative_cosine_similarity import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor

from methods.base import Batch, Encoder, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec, redefined
from methods.ema import EMASpec, frozen_copy, update
from methods.losses import full_precision
from methods.views import ViewSpec

if TYPE_CHECKING:
    from methods.backbones import Backbone

_VIEW = ViewSpec(
    crop_scale=(0.2, 1.0), jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, grayscale=0.2
)


class BYOLConfig(MethodConfig):
    """BYOL's settings; the defaults are the recipe for small images.

    Attributes:
        projector_hidden: width of the projector's hidden layer.
        predictor_hidden: width of the predictor's hidden layer.
        output_dim: dimension of projection and prediction.
        ema: how fast the target network follows (section 3.3).
    """

    optimizer: OptimizerSpec = redefined(
        OptimizerSpec(lr=7.7e-3, weight_decay=1.1e-5, warmup=0.096), first=OptimizerSpec(lr=1e-3, weight_decay=1e-4)
    )
    views: tuple[ViewSpec, ...] = (_VIEW, _VIEW.model_copy(update={"solarize": 0.2}))
    projector_hidden: Count = 1024
    predictor_hidden: Count = 1024
    output_dim: Count = 256
    ema: EMASpec = redefined(EMASpec(start=None, half_life=0.006), first=EMASpec(start=0.99))


class BYOL(Method[BYOLConfig]):
    """BYOL (section 3.1): online backbone, projector and predictor; target backbone and projector.

    The target is in training mode without a gradient: its batch norm uses each batch's statistics and keeps running
    statistics of its own (algorithm 1, appendix A).
    """

    name = "byol"
    display_name = "BYOL"
    colour = "#117733"
    config_class = BYOLConfig
    view_count = 2

    def __init__(self, config: BYOLConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.projector = BYOLProjectionHead(backbone.dimension, config.projector_hidden, config.output_dim)
        self.predictor = BYOLPredictionHead(config.output_dim, config.predictor_hidden, config.output_dim)
        self.target_backbone = frozen_copy(self.backbone)
        self.target_projector = frozen_copy(self.projector)
        self.criterion = NegativeCosineSimilarity()

    @classmethod
    def encoder_passes(cls, config: Any) -> tuple[int, ...]:
        """Each view passes the online network and the target."""
        return (2,) * len(config.views)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """Mean of both directions' negative cosine similarity, from -1 to 1 (equation 2 is 4 + 4 times it)."""
        first, second = batch.views
        predicted_BD = [self.predictor(self.projector(self.backbone.features(view))) for view in (first, second)]
        with torch.no_grad():
            target_BD = [self.target_projector(self.target_backbone.features(view)) for view in (first, second)]
        loss = (self._compare(predicted_BD[0], target_BD[1]) + self._compare(predicted_BD[1], target_BD[0])) / 2
        return LossOutput(loss)

    def _compare(self, predicted_BD: Tensor, target_BD: Tensor) -> Tensor:
        with full_precision(predicted_BD.device):
            similarity: Tensor = self.criterion(predicted_BD.float(), target_BD.float())
        return similarity

    def after_step(self, step: Step) -> None:
        """Moves the target towards the online network (equation 1)."""
        momentum = self.config.ema.momentum(step)
        update(self.target_backbone, self.backbone, momentum)
        update(self.target_projector, self.projector, momentum)

    def encoders(self) -> dict[str, Encoder]:
        """The online backbone, which is the published one, and the target's."""
        return {**super().encoders(), "ema": Encoder(self.target_backbone, self._info("ema"))}
