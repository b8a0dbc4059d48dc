"""SimCLR: tell the two views of an image apart from those of all other images (Chen et al. 2020).

Shape suffixes: B images, D dimension of the projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lightly.models.modules.heads import SimCLRProjectionHead

from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec, Positive, Switch, redefined
from methods.losses import full_precision, nt_xent, whole_batch
from methods.views import ViewSpec

if TYPE_CHECKING:
    from methods.backbones import Backbone

# Appendix B.9 (CIFAR-10): colour strength 0.5, no blur.
_VIEW = ViewSpec(
    crop_scale=(0.2, 1.0), jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2
)


class SimCLRConfig(MethodConfig):
    """SimCLR's settings; the defaults are the recipe for small images.

    Attributes:
        temperature: what similarities are divided by.
        projector_hidden: width of the projector's hidden layers.
        projector_layers: its linear layers.
        projector_norm: whether batch norm follows each of them, the last included.
        output_dim: dimension of the projection.
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = redefined(
        OptimizerSpec(lr=5.6e-3, weight_decay=6.1e-3, warmup=0.16), first=OptimizerSpec(lr=1e-3, weight_decay=1e-4)
    )
    views: tuple[ViewSpec, ...] = (_VIEW, _VIEW)
    temperature: Positive = redefined(0.11, first=0.2)
    projector_hidden: Count = 512
    projector_layers: Count = 2
    projector_norm: Switch = True
    output_dim: Count = 128


class SimCLR(Method[SimCLRConfig]):
    """SimCLR (section 2.1): backbone, projector, NT-Xent over both views of the whole batch, all ranks' together."""

    name = "simclr"
    display_name = "SimCLR"
    colour = "#d55e00"
    config_class = SimCLRConfig
    view_count = 2
    needs_whole_batch = True

    def __init__(self, config: SimCLRConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.projector = SimCLRProjectionHead(
            backbone.dimension,
            config.projector_hidden,
            config.output_dim,
            num_layers=config.projector_layers,
            batch_norm=config.projector_norm,
        )

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """NT-Xent (equation 1), averaged over the two views of every image of the whole batch."""
        first_BD, second_BD = (self.projector(self.backbone.features(view)) for view in batch.views)
        with full_precision(first_BD.device):
            whole = (whole_batch(first_BD.float()), whole_batch(second_BD.float()))
            return LossOutput(nt_xent(*whole, self.config.temperature))
