"""LeJEPA: views agree with their mean, and features are pressed to an isotropic Gaussian (Balestriero & LeCun 2025).

Written from the paper (2511.08544). Shape suffixes: V views, B images, D dimension, M directions, T frequencies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from lightly.models.modules.heads import LeJEPAProjectionHead
from pydantic import Field, model_validator
from torch import Tensor

from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, OptimizerSpec, Positive, Share
from methods.losses import full_precision, whole_batch
from methods.views import ViewSpec, colour_view

if TYPE_CHECKING:
    from methods.backbones import Backbone

_GLOBAL, _LOCAL = colour_view(crop_scale=(0.3, 1.0), saturation=0.2), colour_view(crop_scale=(0.1, 0.4), saturation=0.2)


class LeJEPAConfig(MethodConfig):
    """LeJEPA's settings; the defaults are the recipe for small images.

    Attributes:
        global_views: how many of the views, the first ones, give the mean that all are compared with.
        regularisation: lambda, the weight of SIGReg; the prediction has the rest.
        directions: M, random directions of a step.
        frequencies: T, where characteristic functions are compared.
        span: the largest frequency.
        projector_hidden: width of the projector's hidden layers.
        output_dim: dimension of the projection.
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=0.05)
    views: tuple[ViewSpec, ...] = (*(_GLOBAL,) * 2, *(_LOCAL.model_copy(update={"size": 16}),) * 6)
    global_views: Count = 2
    regularisation: Share = 0.05
    directions: Count = 256
    frequencies: Annotated[int, Field(ge=2)] = 17
    span: Positive = 3.0
    projector_hidden: Count = 512
    output_dim: Count = 64

    @model_validator(mode="after")
    def _enough_views(self) -> LeJEPAConfig:
        if not self.global_views <= len(self.views) or len(self.views) < 2:
            raise ValueError(
                f"global_views is {self.global_views} of {len(self.views)} views; expected two views or more"
            )
        return self


class LeJEPA(Method[LeJEPAConfig]):
    """LeJEPA: backbone and projector; no teacher, no predictor, no stop-gradient."""

    name = "lejepa"
    display_name = "LeJEPA"
    colour = "#c2528b"
    config_class = LeJEPAConfig
    needs_whole_batch = True

    def __init__(self, config: LeJEPAConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        self.projector = LeJEPAProjectionHead(backbone.dimension, config.projector_hidden, config.output_dim)

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """The weighted sum of prediction and SIGReg."""
        projected = [self.projector(self.backbone.features(view)) for view in batch.views]
        config = self.config
        drawn_DM = torch.randn(config.output_dim, config.directions, generator=step.generator)
        with full_precision(projected[0].device):
            projected_VBD = torch.stack([whole_batch(view_BD.float()) for view_BD in projected])
            prediction = (projected_VBD - projected_VBD[: config.global_views].mean(0)).square().mean()
            directions_DM = torch.nn.functional.normalize(drawn_DM, dim=0).to(projected_VBD.device, non_blocking=True)
            gaussian = sigreg(projected_VBD @ directions_DM, config.frequencies, config.span)
        loss = (1 - config.regularisation) * prediction + config.regularisation * gaussian
        return LossOutput(loss, {"prediction": prediction.detach(), "sigreg": gaussian.detach()})


def sigreg(projected_VBM: Tensor, frequencies: int, span: float) -> Tensor:
    """The mean Epps-Pulley statistic of projections against a standard normal.

    Of each view and direction: B times the integral over t of |characteristic function of the sample - exp(-t^2 / 2)|^2
    with weight exp(-t^2 / 2), from -span to span by the trapezoidal rule; the integrand is even.
    """
    t = torch.linspace(0.0, span, frequencies, device=projected_VBM.device)
    expected_T = torch.exp(-t.square() / 2)
    weights_T = torch.full_like(t, 2 * span / (frequencies - 1))
    weights_T[0] = weights_T[-1] = span / (frequencies - 1)
    angles = projected_VBM.unsqueeze(-1) * t
    error_VMT = (angles.cos().mean(-3) - expected_T).square() + angles.sin().mean(-3).square()
    return projected_VBM.shape[-2] * (error_VMT @ (weights_T * expected_T)).mean()
