"""Barlow Twins: the cross-correlation of two views' projections becomes the identity (Zbontar et al. 2021).

Shape suffixes: B images, D dimension of the projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lightly.loss.barlow_twins_loss import BarlowTwinsLoss
from lightly.models.modules.heads import BarlowTwinsProjectionHead

from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec, Positive
from methods.losses import full_precision, whole_batch
from methods.views import ViewSpec, colour_view

if TYPE_CHECKING:
    from methods.backbones import Backbone

_VIEW = colour_view(saturation=0.2)


class BarlowTwinsConfig(MethodConfig):
    """The settings of Barlow Twins; the defaults are the recipe for small images.

    Attributes:
        redundancy_weight: lambda of equation 1, of the off-diagonal elements.
        scale: factor of the whole loss.
        projector_hidden: width of the projector's hidden layers.
        output_dim: dimension of the projection.
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=1e-4)
    views: tuple[ViewSpec, ...] = (_VIEW, _VIEW.model_copy(update={"solarize": 0.2}))
    redundancy_weight: Positive = 0.005
    scale: Positive = 0.1
    projector_hidden: Count = 1024
    output_dim: Count = 1024


class BarlowTwins(Method[BarlowTwinsConfig]):
    """Barlow Twins (section 2.1): backbone, projector; statistics over the whole batch, all ranks' together."""

    name = "barlow_twins"
    display_name = "Barlow Twins"
    colour = "#b5652b"
    config_class = BarlowTwinsConfig
    view_count = 2
    needs_whole_batch = True

    def __init__(self, config: BarlowTwinsConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.projector = BarlowTwinsProjectionHead(backbone.dimension, config.projector_hidden, config.output_dim)
        self.criterion = BarlowTwinsLoss(lambda_param=config.redundancy_weight)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """Equation 1, times `scale`."""
        first_BD, second_BD = (self.projector(self.backbone.features(view)) for view in batch.views)
        with full_precision(first_BD.device):
            loss = self.criterion(whole_batch(first_BD.float()), whole_batch(second_BD.float()))
            return LossOutput(self.config.scale * loss)
