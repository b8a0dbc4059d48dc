"""MAE: reconstruct the pixels of hidden patches from the visible ones (He et al. 2022).

Shape suffixes: B images, N patches, K visible patches, T hidden patches, P pixels of a patch times channels, h w cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from cnn_jepa.masking import MaskSpec, check_spec
from cnn_jepa.sampling import sample_masks
from methods.backbones import ViT
from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec
from methods.heads import TokenPredictor
from methods.losses import full_precision
from methods.pixels import PixelTargets, pixel_targets
from methods.views import ViewSpec

if TYPE_CHECKING:
    from methods.backbones import Backbone


class MAEConfig(MethodConfig):
    """MAE's settings; the defaults are the recipe for small images.

    Attributes:
        mask_ratio: share of the patches that are hidden.
        decoder_width: divisible by 4 and by the number of heads.
        decoder_depth: blocks of the decoder.
        decoder_heads: its attention heads.
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=0.05, betas=(0.9, 0.95))
    views: tuple[ViewSpec, ...] = (ViewSpec(crop_scale=(0.2, 1.0), interpolation="bicubic"),)
    mask_ratio: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.75
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

    @property
    def masking(self) -> MaskSpec:
        """Single patches at random."""
        return MaskSpec(strategy="random", mask_ratio=self.mask_ratio, min_context=1)


class _Seen(NamedTuple):
    """What one pass gives: the predictions of the hidden patches, which ones they are, and the targets of all."""

    predicted_BTP: Tensor
    hidden_BT: Tensor
    targets: PixelTargets


class MAE(Method[MAEConfig]):
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
        if not isinstance(backbone, ViT):
            raise ValueError(f"mae needs a ViT (vit_tiny, vit_small, ...), not {backbone.spec.name}")
        self.grid, self.patch = backbone.spec.grid(task.image_size), backbone.spec.stride
        shape = (config.decoder_width, config.decoder_depth, config.decoder_heads, self.grid)
        self.decoder = TokenPredictor(backbone.dimension, *shape, output=3 * self.patch**2)

    @classmethod
    def check(cls, config: Any, grid: tuple[int, int]) -> None:
        """Refuses masks that cannot be drawn on the grid.

        Raises:
            ValueError: the masks cannot be drawn on the grid.
        """
        check_spec(config.masking, grid)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The mean squared error of the hidden patches' normalised pixels (section 3)."""
        seen = self._reconstruct(batch, step)
        index = seen.hidden_BT.unsqueeze(-1).expand_as(seen.predicted_BTP)
        with full_precision(index.device):
            error = (seen.predicted_BTP.float() - seen.targets.normalised_BNP.gather(1, index)).square()
            return LossOutput(error.mean())

    def _reconstruct(self, batch: Batch, step: Step) -> _Seen:
        (images,) = batch.views
        masks = sample_masks(self.config.masking, step.whole(len(images)), self.grid, step.generator)
        visible_BN = masks.context_Bhw.flatten(1)[step.start : step.start + len(images)]
        # All images have as many visible patches; a stable sort keeps the raster order.
        order_BN = visible_BN.byte().sort(dim=1, descending=True, stable=True).indices.to(images.device)
        count = int(visible_BN[0].sum())
        visible_BK, hidden_BT = order_BN[:, :count], order_BN[:, count:]
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
