"""SparK: reconstruct the pixels of hidden cells from a CNN's maps of the visible ones (Tian et al. 2023).

Shape suffixes: B images, C channels, H W pixels, h w cells, N = h x w, P pixels of a cell times channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnn_jepa.sparse import SparseEncoder
from methods.base import Batch, Encoder, LossOutput, Step, Task
from methods.config import Count, OptimizerSpec
from methods.losses import full_precision
from methods.masked import MaskedMethod, RandomMaskConfig
from methods.pixels import UNetDecoder, pixel_targets
from methods.views import ViewSpec

if TYPE_CHECKING:
    from cnn_jepa.masking import Masks
    from methods.backbones import CNN, Backbone


class SparKConfig(RandomMaskConfig):
    """SparK's settings; the defaults are the recipe for small images.

    Attributes:
        decoder_width: channels of the decoder's first map; each doubling of the resolution halves them.
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=0.04)
    views: tuple[ViewSpec, ...] = (ViewSpec(crop_scale=(0.67, 1.0), interpolation="bicubic"),)
    decoder_width: Count = 128


class SparK(MaskedMethod[SparKConfig]):
    """SparK: a sparse encoder, maps of all stages densified, a light U-Net decoder."""

    name = "spark"
    display_name = "SparK"
    colour = "#0f6e84"
    config_class = SparKConfig
    view_count = 1
    fixed_view_size = True
    cost_varies = True
    backbone_kinds = ("cnn",)

    def __init__(self, config: SparKConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        cnn = cast("CNN", backbone)
        self.patch = backbone.spec.stride
        self.encoder = SparseEncoder(backbone.net, self.patch, cnn.stages)
        with torch.no_grad():
            was_training = backbone.training
            maps = cnn.eval().feature_maps(torch.zeros(1, 3, task.image_size, task.image_size))
            cnn.train(was_training)
        self.decoder = UNetDecoder(
            [(one.shape[1], one.shape[2]) for one in maps], config.decoder_width, task.image_size
        )

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The mean squared error of the hidden cells' normalised pixels."""
        (images,), masks = batch.views, self._masks(batch, step).to(batch.views[0].device)
        predicted_BNP = self._predict(images, masks)
        hidden_BN = ~masks.context_Bhw.flatten(1)
        with full_precision(images.device):
            error_BN = (predicted_BNP.float() - pixel_targets(images, self.patch).normalised_BNP).square().mean(-1)
            return LossOutput((error_BN * hidden_BN).sum() / hidden_BN.sum())

    def _masks(self, batch: Batch, step: Step) -> Masks:
        images = len(batch.views[0])
        return self.draw(images, step).slice(step.start, step.start + images)

    def _predict(self, images: Tensor, masks: Masks) -> Tensor:
        """Predicted pixels `(B, N, P)` of all cells."""
        seen = masks.to(images.device)
        pixels = self.decoder(self.encoder.feature_maps(images, seen), seen.context_Bhw)
        return F.unfold(pixels.float(), self.patch, stride=self.patch).mT

    @torch.no_grad()
    def glimpse(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Masks, and the images with the predicted pixels in the hidden cells."""
        (images,), masks = batch.views, self._masks(batch, step)
        targets, predicted_BNP = pixel_targets(images, self.patch), self._predict(images, masks)
        hidden_BN = ~masks.context_Bhw.flatten(1).to(images.device)
        filled = torch.where(hidden_BN.unsqueeze(-1), predicted_BNP, targets.normalised_BNP)
        return {
            "context_Bhw": masks.context_Bhw,
            "targets_BMhw": ~masks.context_Bhw.unsqueeze(1),
            "reconstruction_BCHW": targets.images(filled, self.patch, self.grid),
        }

    def synchronise_batch_norm(self) -> None:
        """Makes every batch norm take its statistics over all processes; the encoder holds the layers from before."""
        nn.SyncBatchNorm.convert_sync_batchnorm(self)  # type: ignore[no-untyped-call]
        self.encoder = SparseEncoder(self.backbone.net, self.patch, cast("CNN", self.backbone).stages)

    def forward_parts(self) -> dict[str, list[nn.Module]]:
        """The sparse encoder, and as its head the decoder."""
        return {"encoder": [self.encoder], "target_encoder": [], "head": [self.decoder]}

    def encoders(self) -> dict[str, Encoder]:
        """The encoder, with statistics of masked images."""
        return {"online": Encoder(self.backbone, self._info("online", recalibrate=True))}
