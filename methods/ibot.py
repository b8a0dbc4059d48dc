"""iBOT: DINO on whole images, and the same at every hidden patch (Zhou et al. 2022).

Shape suffixes: B images, N patches, K hidden patches of all images, P prototypes, D feature dimension, h w cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from lightly.loss.dino_loss import DINOLoss
from lightly.loss.ibot_loss import IBOTPatchLoss
from torch import Tensor, nn

from cnn_jepa.masking import MaskSpec
from methods.base import Batch, Encoder, LossOutput, Step, Task
from methods.config import NonNegative
from methods.dino import DINOConfig
from methods.ema import frozen_copy, update
from methods.heads import PrototypeHead
from methods.losses import full_precision, group_mean
from methods.masked import MaskedMethod, own, require_vit
from methods.views import ViewSpec, colour_view

if TYPE_CHECKING:
    from methods.backbones import Backbone, ViT

_GLOBAL = colour_view(crop_scale=(0.4, 1.0), saturation=0.2)


class IBOTConfig(DINOConfig):
    """iBOT's settings, beside DINO's; the defaults are the recipe for small images.

    Attributes:
        masking: which patches of the student's views are replaced by the mask token: all that are targets.
        patch_weight: of the loss at patches; the loss of whole images has weight 1.
    """

    primary: Literal["online", "ema"] = "ema"
    views: tuple[ViewSpec, ...] = (_GLOBAL, _GLOBAL.model_copy(update={"solarize": 0.2}))
    masking: MaskSpec = MaskSpec(strategy="multi_block", num_blocks=3, target_share=0.3, min_context=8)
    patch_weight: NonNegative = 1.0


class IBOT(MaskedMethod[IBOTConfig]):
    """iBOT (section 3): one head for images and patches, each with a centre of its own; all views of the input size."""

    name = "ibot"
    display_name = "iBOT"
    colour = "#6a3d9a"
    config_class = IBOTConfig
    fixed_view_size = True
    backbone_kinds = ("vit",)

    def __init__(self, config: IBOTConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        require_vit(backbone, self.name)
        self.head = PrototypeHead(
            *(backbone.dimension, config.head_hidden, config.bottleneck, config.prototypes), batch_norm=False
        )
        self.mask_token = nn.Parameter(torch.zeros(backbone.dimension))
        self.target_backbone = frozen_copy(self.backbone)
        self.target_head = frozen_copy(self.head)
        # Their centres are buffers; a momentum of 1 leaves the moving to `after_step`.
        shared = {"student_temp": config.student_temperature, "center_momentum": 1.0}
        self.image_loss = DINOLoss(config.prototypes, **shared)
        self.patch_loss = IBOTPatchLoss(config.prototypes, **shared)
        self._seen: list[tuple[Tensor, ...]] = []

    @classmethod
    def encoder_passes(cls, config: Any) -> tuple[int, ...]:
        """Global views pass student, masked, and teacher, others the student."""
        return tuple(2 if number < config.global_views else 1 for number in range(len(config.views)))

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The sum of both losses (section 3), patches weighted by `patch_weight`."""
        config, views = self.config, batch.views[: self.config.global_views]
        hidden = [self._hidden(view, step) for view in views]
        student = []
        for view, mask_Bhw in zip(views, hidden, strict=True):
            replaced = {"replace_BN": mask_Bhw.flatten(1).to(view.device, non_blocking=True)}
            student.append(self._logits(self.backbone, self.head, view, **replaced, mask_token=self.mask_token))
        others = [self.head(self.backbone.features(view)).float() for view in batch.views[config.global_views :]]
        with torch.no_grad():
            teacher = [self._logits(self.target_backbone, self.target_head, view) for view in views]
            # The patches' centre is that of all patches, so that it does not depend on the masks.
            self._seen += [tuple(logits.flatten(0, -2).mean(0) for logits in view) for view in teacher]
        sharpness = config.sharpness(step.progress)
        with full_precision(batch.views[0].device):
            images = self.image_loss(
                [logits for logits, _ in teacher], [*(logits for logits, _ in student), *others], teacher_temp=sharpness
            )
            patches = torch.stack(
                [
                    self._patch_loss(theirs, ours, mask, sharpness)
                    for (_, theirs), (_, ours), mask in zip(teacher, student, hidden, strict=True)
                ]
            ).mean()
        logs = {"images": images.detach(), "patches": patches.detach()}
        return LossOutput(images + config.patch_weight * patches, logs)

    def _logits(self, backbone: Backbone, head: PrototypeHead, view: Tensor, **masked: Any) -> tuple[Tensor, Tensor]:
        """A network's logits of images `(B, P)` and of patches `(B, N, P)`; hidden ones may be replaced (`states`)."""
        vit = cast("ViT", backbone)
        states = vit.states(view, **masked)[-1]
        return head(vit.pooled(states)).float(), head(states[:, vit.prefix :]).float()

    def _patch_loss(self, theirs_BNP: Tensor, ours_BNP: Tensor, hidden_Bhw: Tensor, sharpness: float) -> Tensor:
        """Cross-entropy at hidden patches, the mean of each image's mean (equation 2).

        As lightly's `IBOTPatchLoss`, which chooses patches by a mask on the device, so that the host waits for it.

        Args:
            hidden_Bhw: on the CPU.
        """
        hidden_BN = hidden_Bhw.flatten(1)
        chosen_K = hidden_BN.flatten().nonzero().squeeze(1)
        weights_K = (1 / hidden_BN.sum(1).clamp(min=1)).repeat_interleave(hidden_BN.shape[1])[chosen_K]
        chosen_K, weights_K = (x.to(theirs_BNP.device, non_blocking=True) for x in (chosen_K, weights_K))
        theirs_KP, ours_KP = (logits.flatten(0, 1).index_select(0, chosen_K) for logits in (theirs_BNP, ours_BNP))
        taught_KP = ((theirs_KP - self.patch_loss.center.value) / sharpness).softmax(-1)
        losses_K = -(taught_KP * (ours_KP / self.patch_loss.student_temp).log_softmax(-1)).sum(-1)
        loss: Tensor = (losses_K * weights_K).sum() / len(hidden_BN)
        return loss

    def _hidden(self, view: Tensor, step: Step) -> Tensor:
        """Which patches of a view the student does not see, `(B, h, w)` on the CPU; each view has its own draws."""
        return own(self.draw(len(view), step).target, len(view), step)

    def after_backward(self, step: Step) -> None:
        """Holds the prototypes at the beginning."""
        if step.progress < self.config.freeze_prototypes:
            self.head.hold_prototypes()

    def after_step(self, step: Step) -> None:
        """Moves both centres towards the means of what the teacher said, and the teacher towards the student."""
        centres = (self.image_loss.center, self.patch_loss.center.center)
        for centre, seen in zip(centres, zip(*self._seen, strict=True), strict=True):
            mean_P = group_mean(torch.stack(seen).mean(0))
            centre.lerp_(mean_P.expand_as(centre), 1 - self.config.centre_momentum)
        self._seen.clear()
        momentum = self.config.ema.momentum(step)
        update(self.target_backbone, self.backbone, momentum)
        update(self.target_head, self.head, momentum)

    def encoders(self) -> dict[str, Encoder]:
        """The student, and the teacher, which is the published one."""
        return {**super().encoders(), "ema": Encoder(self.target_backbone, self._info("ema"))}
