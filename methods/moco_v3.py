"""MoCo v3: tell a view's moving-average projection apart from those of the other images (Chen, Xie & He 2021).

Shape suffixes: B images of this process, N images of all, D dimension of the projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import MoCoProjectionHead
from lightly.utils.dist import rank
from torch import Tensor, nn

from methods.base import Batch, Encoder, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec, Positive, Switch
from methods.ema import EMASpec, frozen_copy, update
from methods.losses import full_precision, whole_batch
from methods.views import ViewSpec, colour_view

if TYPE_CHECKING:
    from methods.backbones import Backbone

_VIEW = colour_view(saturation=0.2)


class MoCoV3Config(MethodConfig):
    """MoCo v3's settings; the defaults are the recipe for small images.

    Attributes:
        temperature: what similarities are divided by; the loss is multiplied by twice of it.
        projector_hidden: width of the hidden layers of projector and predictor.
        output_dim: dimension of projection and prediction.
        ema: how fast the momentum encoder follows.
        freeze_patches: a ViT's patch embedding stays as it was drawn (section 4.2, "random patch projection").
    """

    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=1e-4)
    views: tuple[ViewSpec, ...] = (_VIEW, _VIEW.model_copy(update={"solarize": 0.2}))
    temperature: Positive = 0.2
    projector_hidden: Count = 1024
    output_dim: Count = 256
    ema: EMASpec = EMASpec(start=0.99)
    freeze_patches: Switch = True


class MoCoV3(Method[MoCoV3Config]):
    """MoCo v3 (section 3): online backbone, projector and predictor; momentum backbone and projector; no queue."""

    name = "moco_v3"
    display_name = "MoCo v3"
    colour = "#5b8c1a"
    config_class = MoCoV3Config
    view_count = 2
    needs_whole_batch = True

    def __init__(self, config: MoCoV3Config, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        if config.freeze_patches and backbone.spec.kind == "vit":
            backbone.net.patch_embed.requires_grad_(False)
        # Three layers for CNNs and ViTs alike, two for the predictor; batch norm on all (section 3).
        wide, narrow = config.projector_hidden, config.output_dim
        self.projector = MoCoProjectionHead(backbone.dimension, wide, narrow, num_layers=3, batch_norm=True)
        self.predictor = MoCoProjectionHead(narrow, wide, narrow, num_layers=2, batch_norm=True)
        self.target_backbone = frozen_copy(self.backbone)
        self.target_projector = frozen_copy(self.projector)

    @classmethod
    def encoder_passes(cls, config: Any) -> tuple[int, ...]:
        """Each view passes the online network and the momentum encoder."""
        return (2,) * len(config.views)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The sum of both directions' InfoNCE (algorithm 1), over the whole batch's keys."""
        first, second = batch.views
        queries_BD = [self.predictor(self.projector(self.backbone.features(view))) for view in (first, second)]
        with torch.no_grad():
            keys_BD = [self.target_projector(self.target_backbone.features(view)) for view in (first, second)]
        return LossOutput(self._contrast(queries_BD[0], keys_BD[1]) + self._contrast(queries_BD[1], keys_BD[0]))

    def _contrast(self, queries_BD: Tensor, keys_BD: Tensor) -> Tensor:
        temperature = self.config.temperature
        with full_precision(queries_BD.device):
            queries, keys_ND = F.normalize(queries_BD.float()), whole_batch(F.normalize(keys_BD.float()))
            own_B = torch.arange(len(queries), device=queries.device) + len(queries) * rank()
            return 2 * temperature * F.cross_entropy(queries @ keys_ND.T / temperature, own_B)

    def after_step(self, step: Step) -> None:
        """Moves the momentum encoder towards the online network."""
        momentum = self.config.ema.momentum(step)
        pairs: tuple[tuple[nn.Module, nn.Module], ...] = (
            (self.target_backbone, self.backbone),
            (self.target_projector, self.projector),
        )
        for average, online in pairs:
            update(average, online, momentum)

    def encoders(self) -> dict[str, Encoder]:
        """The online backbone, which is the published one, and the momentum encoder's."""
        return {**super().encoders(), "ema": Encoder(self.target_backbone, self._info("ema"))}
