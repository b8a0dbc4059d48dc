"""data2vec: predict a moving average's features of whole images at hidden patches (Baevski et al. 2022).

Shape suffixes: B images, N patches, D feature dimension, h w cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnn_jepa.masking import MaskSpec
from methods.base import Batch, Encoder, LossOutput, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec, Positive
from methods.ema import EMASpec, frozen_copy, update
from methods.losses import full_precision
from methods.masked import MaskedMethod, own, require_vit
from methods.views import ViewSpec

if TYPE_CHECKING:
    from methods.backbones import Backbone, ViT


class Data2VecConfig(MethodConfig):
    """data2vec's settings; the defaults are the recipe for small images.

    Attributes:
        masking: which patches are replaced by the mask token: all that are targets.
        blocks: K, last blocks of the teacher whose normalised states are averaged.
        beta: where the smooth L1 loss turns linear.
        ema: how fast the teacher follows.
    """

    primary: Literal["online", "ema"] = "online"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=0.05)
    views: tuple[ViewSpec, ...] = (ViewSpec(crop_scale=(0.2, 1.0), interpolation="bicubic"),)
    masking: MaskSpec = MaskSpec(strategy="multi_block", num_blocks=4, target_share=0.6, min_context=8)
    blocks: Count = 2
    beta: Positive = 2.0
    ema: EMASpec = EMASpec(start=0.99, shape="linear")


class Data2Vec(MaskedMethod[Data2VecConfig]):
    """data2vec (section 3): a student on masked images regresses the teacher's contextual targets of whole ones."""

    name = "data2vec"
    display_name = "data2vec"
    colour = "#4c6a92"
    config_class = Data2VecConfig
    view_count = 1
    fixed_view_size = True
    backbone_kinds = ("vit",)

    def __init__(self, config: Data2VecConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        require_vit(backbone, self.name)
        if config.blocks > len(backbone.net.blocks):
            raise ValueError(f"blocks is {config.blocks}; the network has {len(backbone.net.blocks)}")
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(backbone.dimension), std=0.02))
        self.head = nn.Linear(backbone.dimension, backbone.dimension)
        self.target_backbone = frozen_copy(self.backbone)

    @classmethod
    def encoder_passes(cls, config: Any) -> tuple[int, ...]:
        """The view passes the student, masked, and the teacher."""
        return (2,)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """Smooth L1 between prediction and target at hidden patches, the mean over channels (section 3)."""
        (images,) = batch.views
        masks = self.draw(len(images), step)
        hidden_BN = own(masks.target, len(images), step).flatten(1).to(images.device, non_blocking=True)
        # As many as images of the whole batch have on average, so that shares of a batch add up to it.
        count = float(masks.target.sum()) / len(masks.target) * len(images)
        predicted_BND, target_BND = self._predict(images, hidden_BN)
        with full_precision(images.device):
            losses_BN = F.smooth_l1_loss(
                predicted_BND.float(), target_BND, reduction="none", beta=self.config.beta
            ).mean(-1)
            return LossOutput((losses_BN * hidden_BN).sum() / count)

    def _predict(self, images: Tensor, hidden_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions and targets `(B, N, D)` at all patches.

        The targets are the mean of the last blocks' states, each normalised over channels without parameters, and so is
        their mean (section 3). The last state is taken after the network's final norm.
        """
        student, teacher = cast("ViT", self.backbone), cast("ViT", self.target_backbone)
        predicted_BND = self.head(student.tokens(images, replace_BN=hidden_BN, mask_token=self.mask_token))
        with torch.no_grad():
            states = [state[:, teacher.prefix :].float() for state in teacher.states(images, blocks=self.config.blocks)]
            dimension = (states[0].shape[-1],)
            mean = torch.stack([F.layer_norm(state, dimension) for state in states]).mean(0)
            return predicted_BND, F.layer_norm(mean, dimension)

    @torch.no_grad()
    def glimpse(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Masks, predicted and target features."""
        (images,) = batch.views
        hidden_Bhw = own(self.draw(len(images), step).target, len(images), step).to(images.device)
        predicted, target = self._predict(images, hidden_Bhw.flatten(1))
        return {
            "context_Bhw": ~hidden_Bhw,
            "targets_BMhw": hidden_Bhw.unsqueeze(1),
            "predicted_BDhw": predicted.float().mT.reshape(len(images), -1, *self.grid),
            "target_BDhw": target.mT.reshape(len(images), -1, *self.grid),
        }

    def after_step(self, step: Step) -> None:
        """Moves the teacher towards the student (section 3)."""
        update(self.target_backbone, self.backbone, self.config.ema.momentum(step))

    def encoders(self) -> dict[str, Encoder]:
        """The student, which is the published one, and the teacher."""
        return {**super().encoders(), "ema": Encoder(self.target_backbone, self._info("ema"))}
