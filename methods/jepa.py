"""Options and regularisation shared by the joint-embedding predictive methods, I-JEPA and CNN-JEPA.

Shape suffixes: B images, D feature dimension.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from cnn_jepa.losses import LossKind, Normalisation, variance_covariance
from cnn_jepa.masking import Masks, MaskSpec, check_spec
from cnn_jepa.sampling import sample_masks
from methods.config import Count, MethodConfig, NonNegative, Share
from methods.ema import EMASpec
from methods.losses import full_precision, whole_batch

if TYPE_CHECKING:
    from torch import Tensor

    from methods.base import Step


class JEPAConfig(MethodConfig):
    """The options of a joint-embedding predictive method.

    Attributes:
        masking: which cells are context, which are targets.
        mask_share_end: share of the grid that is hidden at progress 1, growing linearly from `masking.target_share`
            (or `masking.mask_ratio`, for random masks); None keeps it constant.
        loss: how a predicted feature vector is compared with its target. `smooth_l1` and `huber` turn linear at a
            difference of 1, where they are the same function.
        normalise: how a feature vector is normalised before it is compared: zero mean and unit variance (`layer`), unit
            length (`l2`), nothing (`none`); or targets channel by channel, over the whole batch (`batch`): what all
            images and positions have in common is then no target.
        ema: how fast the target encoder follows.
        predictor_depth: layers of the predictor.
        projection_dim: dimension of a projection after the encoders, in whose space the prediction is made; None: no
            projection.
        variance_weight: of VICReg's variance term on each image's mean context feature.
        covariance_weight: of VICReg's covariance term on the same.
        cycle_weight: of the cycle-consistency term: a second predictor predicts the context features back from the
            predicted targets. It is built only where the weight is above 0.
    """

    primary: Literal["online", "ema"] = "ema"
    masking: MaskSpec
    mask_share_end: Share | None = None
    loss: LossKind = "smooth_l1"
    normalise: Normalisation = "layer"
    ema: EMASpec = EMASpec()
    predictor_depth: Count = 3
    projection_dim: Count | None = None
    variance_weight: NonNegative = 0.0
    covariance_weight: NonNegative = 0.0
    cycle_weight: NonNegative = 0.0

    @model_validator(mode="after")
    def _share_can_grow(self) -> JEPAConfig:
        if self.mask_share_end is not None and self.masking.target_share is None and self.masking.strategy != "random":
            raise ValueError(
                f"mask_share_end is {self.mask_share_end}, but strategy '{self.masking.strategy}' states no share to "
                "start from; set masking.target_share, or take strategy 'random'"
            )
        self.masking_at(1.0)
        return self

    @model_validator(mode="after")
    def _cycle_has_no_batch(self) -> JEPAConfig:
        if self.normalise == "batch" and self.cycle_weight > 0:
            raise ValueError(
                f"normalise is 'batch', but cycle_weight is {self.cycle_weight}: its targets are visible cells alone; "
                "set cycle_weight to 0, or normalise to 'layer' or 'l2'"
            )
        return self

    @property
    def has_terms(self) -> bool:
        """Whether the loss has a variance or covariance term."""
        return self.variance_weight > 0 or self.covariance_weight > 0

    @property
    def compares_images(self) -> bool:
        """Whether the loss compares images with each other."""
        return self.has_terms or self.normalise == "batch"

    def masking_at(self, progress: float) -> MaskSpec:
        """The masks' specification at `progress` in [0, 1]."""
        if self.mask_share_end is None:
            return self.masking
        start = self.masking.mask_ratio if self.masking.target_share is None else self.masking.target_share
        share = start + (self.mask_share_end - start) * progress
        if self.masking.target_share is None:
            return dataclasses.replace(self.masking, mask_ratio=share)
        return dataclasses.replace(self.masking, target_share=share)

    def check_masking(self, grid: tuple[int, int]) -> None:
        """Refuses masks that cannot be drawn on a grid, at either end of training.

        Raises:
            ValueError: says what does not fit.
        """
        check_spec(self.masking, grid)
        if self.mask_share_end is not None:
            check_spec(self.masking_at(1.0), grid)


def draw_masks(spec: MaskSpec, images: int, grid: tuple[int, int], step: Step) -> Masks:
    """The masks of the step's whole batch, of which the method sees `images` in this call."""
    return sample_masks(spec, step.whole(images), grid, step.generator)


def regularisation(config: JEPAConfig, context_BD: Tensor, logs: dict[str, Tensor]) -> Tensor | float:
    """The weighted variance and covariance terms; 0 where both weights are 0.

    The features are means over each image's visible cells, of all processes' images. Single cells would not do: their
    positions alone would keep the variance high.

    Args:
        config: holds the weights.
        context_BD: each image's mean context feature.
        logs: the unweighted terms are added to it, as `variance` and `covariance`.
    """
    if not config.has_terms:
        return 0.0
    with full_precision(context_BD.device):
        variance, covariance = variance_covariance(whole_batch(context_BD.float()))
    logs["variance"], logs["covariance"] = variance.detach(), covariance.detach()
    return config.variance_weight * variance + config.covariance_weight * covariance
