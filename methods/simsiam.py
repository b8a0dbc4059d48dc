"""SimSiam: predict the projection of another view, which takes no gradient (Chen & He 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from lightly.loss.negative_cosine_similarity import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead

from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec, Switch
from methods.losses import full_precision
from methods.views import ViewSpec, colour_view

if TYPE_CHECKING:
    from methods.backbones import Backbone


class SimSiamConfig(MethodConfig):
    """SimSiam's settings; the defaults are the recipe for small images.

    Attributes:
        dimension: of projection and prediction, and of the projector's hidden layers.
        bottleneck: width of the predictor's hidden layer.
        constant_predictor: the predictor keeps its learning rate, without warm-up and cosine (section 4.2).
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=1e-4)
    views: tuple[ViewSpec, ...] = (colour_view(), colour_view())
    dimension: Count = 1024
    bottleneck: Count = 256
    constant_predictor: Switch = True


class SimSiam(Method[SimSiamConfig]):
    """SimSiam (section 3): backbone, projector, predictor; each view's prediction against the other's projection."""

    name = "simsiam"
    display_name = "SimSiam"
    colour = "#1f9bcf"
    config_class = SimSiamConfig
    view_count = 2

    def __init__(self, config: SimSiamConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.projector = SimSiamProjectionHead(backbone.dimension, config.dimension, config.dimension)
        self.predictor = SimSiamPredictionHead(config.dimension, config.bottleneck, config.dimension)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The negative cosine similarity, symmetrised (equation 4), from -1 to 1."""
        projected = [self.projector(self.backbone.features(view)) for view in batch.views]
        predicted = [self.predictor(projection).float() for projection in projected]
        first, second = (projection.detach().float() for projection in projected)
        with full_precision(first.device):
            return LossOutput((self.criterion(predicted[0], second) + self.criterion(predicted[1], first)) / 2)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The predictor's parameters apart, with a constant learning rate."""
        return self.grouped(predictor=(self.predictor, {"constant_lr": self.config.constant_predictor}))
