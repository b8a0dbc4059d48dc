"""MSN: a masked view is assigned to the same prototypes as a whole one (Assran et al. 2022).

Shape suffixes: B images, N patches, K kept patches, D dimension of the projection, P prototypes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from lightly.loss.msn_loss import MSNLoss
from lightly.models.modules.heads import MSNProjectionHead
from torch import Tensor, nn

from methods.base import Batch, Encoder, LossOutput, Step, Task
from methods.config import Count, NonNegative, OptimizerSpec, Positive
from methods.ema import EMASpec, frozen_copy, update
from methods.losses import full_precision, whole_batch
from methods.masked import MaskedMethod, MaskRatio, RandomMaskConfig, own, require_vit, visible_and_hidden
from methods.views import ViewSpec, colour_view

if TYPE_CHECKING:
    from methods.backbones import Backbone, ViT

_VIEW = colour_view(crop_scale=(0.3, 1.0))
_FOCAL = colour_view(crop_scale=(0.1, 0.3), size=16)


class MSNConfig(RandomMaskConfig):
    """MSN's settings; the defaults are the recipe for small images.

    The first view is the target's; the second is masked; all others are small ("focal") and whole.

    Attributes:
        mask_ratio: share of the second view's patches that the student does not see.
        prototypes: P.
        temperature: of the student's assignments.
        sharpening: temperature of the target's assignments.
        regularisation: weight of the mean entropy maximisation.
        head_hidden: width of the head's hidden layers.
        output_dim: dimension in which prototypes lie.
        ema: how fast the target network follows.
    """

    primary: Literal["online", "ema"] = "ema"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=0.04)
    views: tuple[ViewSpec, ...] = (_VIEW, _VIEW, *(_FOCAL,) * 4)
    mask_ratio: MaskRatio = 0.3
    prototypes: Count = 256
    temperature: Positive = 0.1
    sharpening: Positive = 0.25
    regularisation: NonNegative = 1.0
    head_hidden: Count = 512
    output_dim: Count = 128
    ema: EMASpec = EMASpec(start=0.99)


class MSN(MaskedMethod[MSNConfig]):
    """MSN (section 3): anchors (a masked view and focal crops) against a moving average's view of the whole image."""

    name = "msn"
    display_name = "MSN"
    colour = "#a6761d"
    config_class = MSNConfig
    needs_whole_batch = True
    backbone_kinds = ("vit",)

    def __init__(self, config: MSNConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        require_vit(backbone, self.name)
        if len(config.views) < 2:
            raise ValueError(f"msn has {len(config.views)} views; expected at least two, the target's and a masked one")
        self.head = MSNProjectionHead(backbone.dimension, config.head_hidden, config.output_dim)
        self.prototypes = nn.Parameter(nn.init.normal_(torch.empty(config.prototypes, config.output_dim)))
        self.target_backbone = frozen_copy(self.backbone)
        self.target_head = frozen_copy(self.head)
        self.criterion = MSNLoss(config.temperature, regularization_weight=config.regularisation)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """Cross-entropy of assignments, minus the entropy of the anchors' mean assignment (section 3)."""
        whole, masked, *focal = batch.views
        anchors = [self.head(self._masked(masked, step)), *(self.head(self.backbone.features(view)) for view in focal)]
        with torch.no_grad():
            targets_BD = self.target_head(self.target_backbone.features(whole))
        with full_precision(whole.device):
            anchors_ND = torch.cat([whole_batch(anchor.float()) for anchor in anchors])
            targets_ND = whole_batch(targets_BD.float())
            return LossOutput(
                self.criterion(
                    anchors_ND, targets_ND, self.prototypes, target_sharpen_temperature=self.config.sharpening
                )
            )

    def _masked(self, view: Tensor, step: Step) -> Tensor:
        """Features `(B, D)` of the patches that are seen."""
        backbone = cast("ViT", self.backbone)
        visible_BN = own(self.draw(len(view), step).context_Bhw, len(view), step).flatten(1)
        keep_BK = visible_and_hidden(visible_BN)[0].to(view.device, non_blocking=True)
        return backbone.pooled(backbone.states(view, keep_BK)[-1])

    def after_step(self, step: Step) -> None:
        """Moves the target network towards the student."""
        momentum = self.config.ema.momentum(step)
        update(self.target_backbone, self.backbone, momentum)
        update(self.target_head, self.head, momentum)

    def encoders(self) -> dict[str, Encoder]:
        """The student, and the target network, which is the published one."""
        return {**super().encoders(), "ema": Encoder(self.target_backbone, self._info("ema"))}
