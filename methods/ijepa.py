"""I-JEPA: predict the features of hidden blocks from those of the visible patches (Assran et al. 2023).

Shape suffixes: B images (sequences, in the predictor), M target blocks, N patches, K context patches, T target patches
of a block (padded to the largest), S tokens of a sequence, D feature dimension, W width of the predictor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn

from cnn_jepa.losses import Normalisation, feature_loss, normalise
from cnn_jepa.masking import Masks, MaskSpec
from methods.backbones import ViT
from methods.base import Batch, Encoder, LossOutput, Method, Step, Task
from methods.config import Count, OptimizerSpec, redefined
from methods.ema import EMASpec, frozen_copy, update
from methods.heads import TokenPredictor
from methods.jepa import JEPAConfig, draw_masks, regularisation
from methods.losses import full_precision
from methods.views import ViewSpec

if TYPE_CHECKING:
    from methods.backbones import Backbone


class IJEPAConfig(JEPAConfig):
    """I-JEPA's settings; the defaults are the recipe for small images.

    Attributes:
        predictor_width: W, divisible by 4 and by the number of heads.
        predictor_heads: attention heads of the predictor.
    """

    optimizer: OptimizerSpec = redefined(
        OptimizerSpec(lr=3.1e-4, weight_decay=5.1e-4, warmup=0.061), first=OptimizerSpec(lr=1e-3, weight_decay=0.05)
    )
    views: tuple[ViewSpec, ...] = (ViewSpec(crop_scale=(0.3, 1.0), flip=0.0),)
    masking: MaskSpec = MaskSpec(strategy="multi_block", num_blocks=4, context_scale=(0.85, 1.0), min_context=8)
    normalise: Normalisation = redefined("batch", first="layer")
    ema: EMASpec = redefined(
        EMASpec(start=None, half_life=0.0052, shape="linear"), first=EMASpec(start=0.99, shape="linear")
    )
    predictor_depth: Count = 4
    predictor_width: Count = 96
    predictor_heads: Count = 3

    @model_validator(mode="after")
    def _heads_divide(self) -> IJEPAConfig:
        if self.predictor_width % 4 or self.predictor_width % self.predictor_heads:
            raise ValueError(
                f"predictor_width is {self.predictor_width}; it has to be divisible by 4 and by predictor_heads "
                f"({self.predictor_heads})"
            )
        return self


@dataclass(frozen=True)
class TokenLayout:
    """Masks as indices of patches in raster order.

    Attributes:
        context_BK: what the context encoder sees.
        targets_BMT: the patches of each target block; padding repeats any patch.
        valid_BMT: False at padding; None where all blocks are equally large.
        count: for a share of a batch, the target patches that as many images have on average in the whole batch.
    """

    context_BK: Tensor
    targets_BMT: Tensor
    valid_BMT: Tensor | None
    count: float | None = None

    def to(self, device: torch.device) -> TokenLayout:
        """The layout on a device, without waiting for it."""
        valid = None if self.valid_BMT is None else self.valid_BMT.to(device, non_blocking=True)
        context, targets = (x.to(device, non_blocking=True) for x in (self.context_BK, self.targets_BMT))
        return TokenLayout(context, targets, valid, self.count)

    def slice(self, start: int, stop: int) -> TokenLayout:
        """The layout of images `start` to `stop`, a share of the batch; to be called on the CPU."""
        images = len(self.context_BK)
        if stop - start == images:
            return self
        context, targets = self.context_BK[start:stop], self.targets_BMT[start:stop]
        if self.valid_BMT is None:
            return TokenLayout(context, targets, None)
        count = (stop - start) / images * int(self.valid_BMT.sum())
        return TokenLayout(context, targets, self.valid_BMT[start:stop], count)


def token_layout(masks: Masks, generator: torch.Generator, *, pad: bool = False) -> TokenLayout:
    """Turns masks into indices, on the CPU.

    Images have different numbers of visible patches, and a batch needs one: all are cut to the smallest. Which patches
    an image loses is drawn at random. The published code drops the last ones in raster order, so that the bottom of the
    context block is never seen; this is a deviation.

    Args:
        pad: pads several target blocks to all that is not context, so that their length is the same in every batch
            where the number of context patches is.
    """
    context_BN = masks.host.context_Bhw.flatten(1)
    keep = int(context_BN.sum(dim=1).min())
    noise_BN = torch.rand(context_BN.shape, generator=generator).masked_fill(~context_BN, 2.0)
    context_BK = noise_BN.topk(keep, dim=1, largest=False).indices.sort(dim=1).values
    targets_BMN = masks.host.targets_BMhw.flatten(2)
    counts_BM = targets_BMN.sum(dim=2)
    padded = pad and counts_BM.shape[1] > 1
    longest = context_BN.shape[1] - keep if padded else int(counts_BM.max())
    # A stable sort puts a block's own patches first, in raster order.
    order_BMN = targets_BMN.sort(dim=2, descending=True, stable=True).indices
    valid_BMT = torch.arange(longest) < counts_BM.unsqueeze(-1)
    return TokenLayout(
        context_BK, order_BMN[..., :longest], None if not padded and bool(valid_BMT.all()) else valid_BMT
    )


def _at(features_BND: Tensor, patches: Tensor) -> Tensor:
    """Features `(B, ..., D)` at patches `(B, ...)`."""
    index = patches.flatten(1).unsqueeze(-1).expand(-1, -1, features_BND.shape[-1])
    return features_BND.gather(1, index).reshape(*patches.shape, -1)


class IJEPA(Method[IJEPAConfig]):
    """I-JEPA (section 3): context encoder on visible patches, EMA target encoder on all, predictor for each block.

    Attributes:
        pad_targets: target blocks have one length in all batches (`token_layout`), as CUDA graphs need it.
    """

    name = "ijepa"
    display_name = "I-JEPA"
    colour = "#2fa899"
    config_class = IJEPAConfig
    view_count = 1
    fixed_view_size = True
    cost_varies = True
    backbone_kinds = ("vit",)
    pad_targets = False

    def __init__(self, config: IJEPAConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        if not isinstance(backbone, ViT):
            raise ValueError(f"ijepa needs a ViT (vit_tiny, vit_small, ...), not {backbone.spec.name}")
        self.grid = backbone.spec.grid(task.image_size)
        dimension = config.projection_dim or backbone.dimension
        self.projector: nn.Module = nn.Identity()
        if config.projection_dim is not None:
            self.projector = nn.Sequential(nn.Linear(backbone.dimension, dimension), nn.LayerNorm(dimension), nn.ReLU())
        shape = (dimension, config.predictor_width, config.predictor_depth, config.predictor_heads, self.grid)
        self.predictor = TokenPredictor(*shape)
        self.back_predictor = TokenPredictor(*shape) if config.cycle_weight > 0 else None
        self.target_backbone = frozen_copy(self.backbone)
        self.target_projector = frozen_copy(self.projector)

    @classmethod
    def check(cls, config: Any, grid: tuple[int, int]) -> None:
        """Refuses masks that cannot be drawn on the grid.

        Raises:
            ValueError: the masks cannot be drawn on the grid.
        """
        config.check_masking(grid)

    @classmethod
    def compares_images(cls, config: Any) -> bool:
        """Whether a term of the loss, or the targets' normalisation, compares images."""
        return bool(config.compares_images)

    @classmethod
    def encoder_passes(cls, config: Any) -> tuple[int, ...]:
        """The view passes the context encoder, in part, and the target encoder."""
        return (2,) * len(config.views)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """Mean over all target patches of all blocks; blocks that overlap count each (section 3, "Loss")."""
        images = batch.views[0]
        layout = token_layout(self._masks(batch, step), step.generator, pad=self.pad_targets)
        return self.masked_loss(images, layout.slice(step.start, step.start + len(images)).to(images.device))

    def _masks(self, batch: Batch, step: Step) -> Masks:
        return draw_masks(self.config.masking_at(step.progress), len(batch.views[0]), self.grid, step)

    def _features(self, images: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor, Tensor]:
        """Context `(B, K, D)`, target `(B, N, D)` and predicted features `(B, M, T, D)`."""
        context_BKD = self.projector(cast("ViT", self.backbone).tokens(images, layout.context_BK))
        with torch.no_grad():
            target_BND = self.target_projector(cast("ViT", self.target_backbone).tokens(images))
        return context_BKD, target_BND, self._predict(context_BKD, layout)

    def masked_loss(self, images: Tensor, layout: TokenLayout) -> LossOutput:
        """The loss of images `(B, 3, H, W)` under given masks."""
        context_BKD, target_BND, predicted_BMTD = self._features(images, layout)
        if self.config.normalise == "batch":  # over all patches, not over the targets alone
            target_BND = normalise(target_BND, "batch")
        losses_BMT = self._compare(predicted_BMTD, _at(target_BND, layout.targets_BMT))
        if layout.valid_BMT is None:
            prediction = losses_BMT.mean()
        else:
            count = layout.valid_BMT.sum() if layout.count is None else layout.count
            prediction = (losses_BMT * layout.valid_BMT).sum() / count
        logs = {"prediction": prediction.detach()}
        loss = prediction + regularisation(self.config, context_BKD.mean(dim=1), logs)
        if self.back_predictor is not None:
            cycle = self._cycle(predicted_BMTD, context_BKD, layout)
            logs["cycle"] = cycle.detach()
            loss = loss + self.config.cycle_weight * cycle
        return LossOutput(loss, logs)

    def _predict(self, context_BKD: Tensor, layout: TokenLayout) -> Tensor:
        """Predicts each block on its own, from the same context: M x B sequences, `(B, M, T, D)`."""
        blocks = layout.targets_BMT.shape[1]
        attend = None
        if layout.valid_BMT is not None:
            valid_BT = layout.valid_BMT.flatten(0, 1)
            attend = torch.cat((valid_BT.new_ones(len(valid_BT), context_BKD.shape[1]), valid_BT), dim=1)
        predicted: Tensor = self.predictor(
            context_BKD.repeat_interleave(blocks, dim=0),
            layout.context_BK.repeat_interleave(blocks, dim=0),
            layout.targets_BMT.flatten(0, 1),
            attend,
        )
        return predicted.reshape(*layout.targets_BMT.shape, -1)

    def _compare(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The loss of each position `(...)` of features `(..., D)` (`feature_loss`), averaged over channels."""
        with full_precision(predicted.device):
            kind: Normalisation = "none" if self.config.normalise == "batch" else self.config.normalise
            summed = feature_loss(predicted, target.detach(), self.config.loss, kind)
        return summed if self.config.loss == "cosine" else summed / target.shape[-1]

    def _cycle(self, predicted_BMTD: Tensor, context_BKD: Tensor, layout: TokenLayout) -> Tensor:
        """The loss of predicting the context's features back from the predictions of all blocks."""
        assert self.back_predictor is not None
        attend = None
        if layout.valid_BMT is not None:
            valid_BT = layout.valid_BMT.flatten(1)
            attend = torch.cat((valid_BT, valid_BT.new_ones(layout.context_BK.shape)), dim=1)
        back_BKD = self.back_predictor(
            predicted_BMTD.flatten(1, 2), layout.targets_BMT.flatten(1), layout.context_BK, attend
        )
        return self._compare(back_BKD, context_BKD).mean()

    @torch.no_grad()
    def glimpse(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Masks, and maps of predicted features (the mean over blocks, 0 outside of them) and of normalised targets."""
        images, masks = batch.views[0], self._masks(batch, step)
        layout = token_layout(masks, step.generator).to(images.device)
        _, target_BND, predicted_BMTD = self._features(images, layout)
        weights_BMT = torch.ones_like(layout.targets_BMT) if layout.valid_BMT is None else layout.valid_BMT
        index_BT1 = layout.targets_BMT.flatten(1).unsqueeze(-1)
        weights_BT1 = weights_BMT.flatten(1).unsqueeze(-1).float()
        sums_BND = torch.zeros_like(target_BND, dtype=torch.float32)
        counts_BN1 = sums_BND.new_zeros(*sums_BND.shape[:2], 1).scatter_add_(1, index_BT1, weights_BT1)
        predicted_BTD = predicted_BMTD.flatten(1, 2) * weights_BT1
        sums_BND.scatter_add_(1, index_BT1.expand_as(predicted_BTD), predicted_BTD)
        return {
            "context_Bhw": masks.context_Bhw,
            "targets_BMhw": masks.targets_BMhw,
            "predicted_BDhw": self._as_map(sums_BND / counts_BN1.clamp(min=1)),
            # The first process alone looks; its share of the batch has to do.
            "target_BDhw": self._as_map(normalise(target_BND, self.config.normalise, alone=True)),
        }

    def _as_map(self, features_BND: Tensor) -> Tensor:
        return features_BND.transpose(1, 2).reshape(len(features_BND), -1, *self.grid)

    def after_step(self, step: Step) -> None:
        """Moves the target encoder towards the context encoder, after the optimizer (appendix A)."""
        momentum = self.config.ema.momentum(step)
        update(self.target_backbone, self.backbone, momentum)
        if self.config.projection_dim is not None:
            update(self.target_projector, self.projector, momentum)

    def encoders(self) -> dict[str, Encoder]:
        """The context encoder and the target encoder, which is the published one."""
        return {**super().encoders(), "ema": Encoder(self.target_backbone, self._info("ema"))}
