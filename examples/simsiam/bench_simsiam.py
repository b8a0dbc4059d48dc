"""SimSiam: predict the projection of another view, which takes no gradient (Chen & He 2020, arXiv 2011.10566)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightly.loss.negative_cosine_similarity import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead

from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec
from methods.losses import full_precision
from methods.views import ViewSpec

if TYPE_CHECKING:
    from methods.backbones import Backbone

_COLOURS = {"jitter": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "grayscale": 0.2}
_VIEW = ViewSpec(crop_scale=(0.2, 1.0), **_COLOURS)


class SimSiamConfig(MethodConfig):
    """SimSiam's settings; the defaults are those of appendix D (CIFAR-10), but for narrower heads.

    Attributes:
        dimension: of projection and prediction, and of the projector's hidden layers.
        bottleneck: width of the predictor's hidden layer.
    """

    optimizer: OptimizerSpec = OptimizerSpec(name="sgd", lr=0.03, lr_rule="linear", weight_decay=5e-4, warmup=0.0)
    views: tuple[ViewSpec, ...] = (_VIEW, _VIEW)
    dimension: Count = 512
    bottleneck: Count = 128


class SimSiam(Method[SimSiamConfig]):
    """Backbone, projector, predictor; each view's prediction is compared with the other's projection."""

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
        """The negative cosine similarity, symmetrised (equation 4)."""
        projections = [self.projector(self.backbone.features(view)) for view in batch.views]
        predictions = [self.predictor(projection).float() for projection in projections]
        first, second = (projection.detach().float() for projection in projections)
        with full_precision(first.device):
            return LossOutput((self.criterion(predictions[0], second) + self.criterion(predictions[1], first)) / 2)
