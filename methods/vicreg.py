"""VICReg: similar projections of two views; variance and covariance terms prevent collapse (Bardes et al. 2022).

Shape suffixes: B images, D dimension of the projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from lightly.models.modules.heads import VICRegProjectionHead
from pydantic import Field

from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, NonNegative, OptimizerSpec, Positive, redefined
from methods.losses import VICRegCriterion, full_precision, whole_batch
from methods.views import ViewSpec

if TYPE_CHECKING:
    from methods.backbones import Backbone

_VIEW = ViewSpec(
    crop_scale=(0.2, 1.0),
    jitter=0.8,
    brightness=0.4,
    contrast=0.4,
    saturation=0.2,
    hue=0.1,
    grayscale=0.2,
    solarize=0.1,
)


class VICRegConfig(MethodConfig):
    """VICReg's settings; the defaults are the recipe for small images.

    Attributes:
        invariance_weight: lambda of equation 6.
        variance_weight: mu.
        covariance_weight: nu.
        epsilon: added to variances before the root (equation 2).
        projector_hidden: width of the expander's hidden layers.
        projector_layers: its linear layers; batch norm and ReLU follow all but the last.
        output_dim: dimension of the projection.
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = redefined(
        OptimizerSpec(lr=1.3e-2, weight_decay=5.2e-5, warmup=0.26), first=OptimizerSpec(lr=1e-3, weight_decay=1e-4)
    )
    views: tuple[ViewSpec, ...] = (_VIEW, _VIEW)
    invariance_weight: NonNegative = redefined(11.0, first=25.0)
    variance_weight: NonNegative = 25.0
    covariance_weight: NonNegative = redefined(2.3, first=1.0)
    epsilon: Positive = 1e-4
    projector_hidden: Count = 1024
    projector_layers: Annotated[int, Field(ge=2)] = 3
    output_dim: Count = 1024


class VICReg(Method[VICRegConfig]):
    """VICReg (section 4): backbone, expander; statistics over the whole batch, all ranks' together."""

    name = "vicreg"
    display_name = "VICReg"
    colour = "#882255"
    config_class = VICRegConfig
    view_count = 2
    needs_whole_batch = True

    def __init__(self, config: VICRegConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.projector = VICRegProjectionHead(
            backbone.dimension, config.projector_hidden, config.output_dim, num_layers=config.projector_layers
        )
        self.criterion = VICRegCriterion(
            lambda_param=config.invariance_weight,
            mu_param=config.variance_weight,
            nu_param=config.covariance_weight,
            eps=config.epsilon,
        )

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The weighted sum of invariance, variance and covariance (equation 6).

        As in the authors' code, the variance term is the mean of both views' rather than their sum.
        """
        first_BD, second_BD = (self.projector(self.backbone.features(view)) for view in batch.views)
        with full_precision(first_BD.device):
            return LossOutput(self.criterion(whole_batch(first_BD.float()), whole_batch(second_BD.float())))
