"""CNN-JEPA: predict the features of hidden cells from those of visible ones, on a CNN (arXiv 2408.07514).

Shape suffixes: B images, D feature dimension, h w cells of the grid.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator

from cnn_jepa.losses import LossKind, Normalisation
from cnn_jepa.masking import MaskSpec
from cnn_jepa.model import CNNJEPA
from methods.base import Batch, Encoder, LossOutput, Method, Step, Task
from methods.config import Count, OptimizerSpec, Switch, redefined
from methods.ema import EMASpec
from methods.jepa import JEPAConfig, draw_masks, regularisation
from methods.losses import full_precision
from methods.views import ViewSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cnn_jepa.masking import Masks
    from methods.backbones import Backbone


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"{value} is even; a kernel needs a centre")
    return value


_FIRST_MASKING = MaskSpec(
    strategy="multi_block",
    num_blocks=2,
    block_sizes=((1, 2), (2, 1), (2, 2)),
    same_size=False,
    min_context=4,
    target_share=0.375,
)


class CNNJEPAConfig(JEPAConfig):
    """CNN-JEPA's settings; the defaults are the recipe for small images.

    Attributes:
        encoder: how the context encoder computes: `sparse` runs the network on visible blocks only, `masked_dense` runs
            it on whole images and sets masked cells to zero after each operation, as published. Both give the same
            features.
        kernel_size: side of the predictor's spatial kernel, odd.
        depthwise: whether the predictor has depthwise-separable layers (as published) or full convolutions.
    """

    optimizer: OptimizerSpec = redefined(
        OptimizerSpec(lr=8.1e-3, weight_decay=1.4e-4, warmup=0.14, decay_norm_and_bias=True),
        first=OptimizerSpec(lr=1e-3, weight_decay=1e-2, decay_norm_and_bias=True),
    )
    views: tuple[ViewSpec, ...] = (ViewSpec(crop_scale=(0.2, 1.0), interpolation="bicubic"),)
    masking: MaskSpec = redefined(replace(_FIRST_MASKING, target_share=0.5), first=_FIRST_MASKING)
    loss: LossKind = "smooth_l1"
    normalise: Normalisation = "l2"
    ema: EMASpec = redefined(EMASpec(start=None, half_life=0.058), first=EMASpec(start=0.99))
    encoder: Literal["sparse", "masked_dense"] = redefined("sparse", first="masked_dense")
    kernel_size: Annotated[Count, AfterValidator(_odd)] = 3
    depthwise: Switch = True


class CNNJEPAMethod(Method[CNNJEPAConfig]):
    """CNN-JEPA in the harness; the model itself is `cnn_jepa.CNNJEPA`."""

    name = "cnn_jepa"
    display_name = "CNN-JEPA"
    colour = "#332288"
    config_class = CNNJEPAConfig
    view_count = 1
    fixed_view_size = True
    cost_varies = True
    backbone_kinds = ("cnn",)

    def __init__(self, config: CNNJEPAConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.grid = backbone.spec.grid(task.image_size)
        self.model = CNNJEPA(
            backbone.net,
            backbone.dimension,
            backbone.spec.stride,
            predictor_depth=config.predictor_depth,
            kernel_size=config.kernel_size,
            depthwise=config.depthwise,
            projection_dim=config.projection_dim,
            cycle=config.cycle_weight > 0,
            encoder=config.encoder,
        )

    @classmethod
    def check(cls, config: Any, grid: tuple[int, int]) -> None:
        """Refuses masks that cannot be drawn on the grid.

        Raises:
            ValueError: the masks cannot be drawn on the grid.
        """
        config.check_masking(grid)

    @classmethod
    def encoder_passes(cls, config: Any) -> tuple[int, ...]:
        """The view passes the context encoder, in part, and the target encoder."""
        return (2,) * len(config.views)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """Prediction loss over target cells, and the optional terms."""
        (images_BCHW,) = batch.views
        masks = self._masks(batch, step)
        output = self.model(images_BCHW, masks.to(images_BCHW.device))
        with full_precision(images_BCHW.device):
            loss = self.model.loss(output, self.config.loss, self.config.normalise)
            logs = {"prediction": loss.detach()}
            visible_B = output.masks.context_Bhw.sum((1, 2)).clamp(min=1).unsqueeze(1)
            loss = loss + regularisation(self.config, output.context.float().sum((2, 3)) / visible_B, logs)
        if self.config.cycle_weight > 0:
            cycle = self.model.cycle_loss(output, self.config.loss, self.config.normalise)
            logs["cycle"] = cycle.detach()
            loss = loss + self.config.cycle_weight * cycle
        return LossOutput(loss, logs)

    def _masks(self, batch: Batch, step: Step) -> Masks:
        images = len(batch.views[0])
        masks = draw_masks(self.config.masking_at(step.progress), images, self.grid, step)
        return masks.slice(step.start, step.start + images)

    @classmethod
    def compares_images(cls, config: Any) -> bool:
        """Whether a term of the loss, or the targets' normalisation, compares images."""
        return bool(config.compares_images)

    def synchronise_batch_norm(self) -> None:
        """Makes every batch norm take its statistics over all processes, the context encoder's included."""
        self.model.synchronise_batch_norm()

    def after_step(self, step: Step) -> None:
        """Moves the target encoder towards the context encoder."""
        self.model.update_target(self.config.ema.momentum(step))

    def glimpse(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Masks, predicted and target features of a batch."""
        (images_BCHW,) = batch.views
        masks = self._masks(batch, step)
        output = self.model.predict(images_BCHW, masks)
        return {
            "context_Bhw": masks.context_Bhw,
            "targets_BMhw": masks.targets_BMhw,
            "predicted_BDhw": output.predicted,
            "target_BDhw": output.target,
        }

    def forward_parts(self) -> dict[str, list[nn.Module]]:
        """The context encoder, the target network, and the heads: predictors and projections."""
        heads = [*self.model.projectors, self.model.target_projection, self.model.predictor, self.model.back_predictor]
        return {
            "encoder": [self.model.context_encoder],
            "target_encoder": [self.model.target_network],
            "head": [head for head in heads if head is not None and next(head.parameters(), None) is not None],
        }

    def encoders(self) -> dict[str, Encoder]:
        """The context encoder, with statistics of masked images, and the target encoder, which is the published one."""
        target = self.backbone.with_net(self.model.target_network)
        return {
            "online": Encoder(self.backbone, self._info("online", recalibrate=True)),
            "ema": Encoder(target, self._info("ema")),
        }
