"""MAE: reconstruct the pixels of hidden patches from the visible ones (He et al. 2022).

Shape suffixes: B images, N patches, K visible patches, T hidden patches, P pixels of a patch times channels, h w cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import torch
from pydantic import model_validator
from torch import Tensor

from methods.base import Batch, LossOutput, Step, Task
from methods.config import Count, OptimizerSpec
from methods.heads import TokenPredictor
from methods.losses import full_precision
from methods.masked import MaskedMethod, MaskRatio, RandomMaskConfig, own, require_vit, visible_and_hidden
from methods.pixels import PixelTargets, pixel_targets
from methods.views import ViewSpec

if TYPE_CHECKING:
    from methods.backbones import Backbone, ViT


class MAEConfig(RandomMaskConfig):
    """MAE's settings; the defaults are the recipe for small images.

    Attributes:
        decoder_width: divisible by 4 and by the number of heads.
        decoder_depth: blocks of the decoder.
        decoder_heads: its attention heads.
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=0.05, betas=(0.9, 0.95))
    views: tuple[ViewSpec, ...] = (ViewSpec(crop_scale=(0.2, 1.0), interpolation="bicubic"),)
    mask_ratio: MaskRatio = 0.75
    decoder_width: Count = 64
    decoder_depth: Count = 2
    decoder_heads: Count = 2

    @model_validator(mode="after")
    def _heads_divide(self) -> MAEConfig:
        if self.decoder_width % 4 or self.decoder_width % self.decoder_heads:
            raise ValueError(
                f"decoder_width is {self.decoder_width}; it has to be divisible by 4 and by decoder_heads "
                f"({self.decoder_heads})"
            )
        return self


class _Seen(NamedTuple):
    """What one pass gives: the predictions of the hidden patches, which ones they are, and the targets of all."""

    predicted_BTP: Tensor
    hidden_BT: Tensor
    targets: PixelTargets


class MAE(MaskedMethod[MAEConfig]):
    """MAE (section 3): an encoder on the visible patches alone, a narrow decoder on all; loss on the hidden ones."""

    name = "mae"
    display_name = "MAE"
    colour = "#7a7f00"
    config_class = MAEConfig
    view_count = 1
    fixed_view_size = True
    backbone_kinds = ("vit",)

    def __init__(self, config: MAEConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.patch = require_vit(backbone, self.name).spec.stride
        shape = (config.decoder_width, config.decoder_depth, config.decoder_heads, self.grid)
        self.decoder = TokenPredictor(backbone.dimension, *shape, output=3 * self.patch**2)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The mean squared error of the hidden patches' normalised pixels (section 3)."""
        seen = self._reconstruct(batch, step)
        index = seen.hidden_BT.unsqueeze(-1).expand_as(seen.predicted_BTP)
        with full_precision(index.device):
            error = (seen.predicted_BTP.float() - seen.targets.normalised_BNP.gather(1, index)).square()
            return LossOutput(error.mean())

    def _reconstruct(self, batch: Batch, step: Step) -> _Seen:
        (images,) = batch.views
        visible_BN = own(self.draw(len(images), step).context_Bhw, len(images), step).flatten(1)
        visible_BK, hidden_BT = (
            patches.to(images.device, non_blocking=True) for patches in visible_and_hidden(visible_BN)
        )
        known_BKD = cast("ViT", self.backbone).tokens(images, visible_BK)
        return _Seen(self.decoder(known_BKD, visible_BK, hidden_BT), hidden_BT, pixel_targets(images, self.patch))

    @torch.no_grad()
    def glimpse(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Masks, and the images with the predicted pixels in the hidden patches."""
        seen = self._reconstruct(batch, step)
        index = seen.hidden_BT.unsqueeze(-1).expand_as(seen.predicted_BTP)
        filled = seen.targets.normalised_BNP.scatter(1, index, seen.predicted_BTP.float())
        hidden_BN = torch.zeros(filled.shape[:2], dtype=torch.bool, device=filled.device)
        hidden_Bhw = hidden_BN.scatter(1, seen.hidden_BT, True).reshape(-1, *self.grid)
        return {
            "context_Bhw": ~hidden_Bhw,
            "targets_BMhw": hidden_Bhw.unsqueeze(1),
            "reconstruction_BCHW": seen.targets.images(filled, self.patch, self.grid),
        }
