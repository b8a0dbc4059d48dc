"""VICRegL: VICReg on feature vectors, and on the features of places that views share (Bardes et al. 2022).

Shape suffixes: B images, h w cells, D dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from lightly.loss.vicreg_loss import variance_loss
from lightly.loss.vicregl_loss import VICRegLLoss
from lightly.models.modules.heads import VicRegLLocalProjectionHead, VICRegProjectionHead
from torch import Tensor

from methods.base import Batch, LossOutput, Method, Step, Task
from methods.config import Count, MethodConfig, NonNegative, OptimizerSpec, Share
from methods.losses import VICRegCriterion, covariance, full_precision, whole_batch
from methods.views import ViewSpec, colour_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from methods.backbones import Backbone

_VIEW = colour_view(saturation=0.2, solarize=0.1)


class VICRegLConfig(MethodConfig):
    """VICRegL's settings; the defaults are the recipe for small images.

    Attributes:
        global_weight: alpha, of the loss of feature vectors; that of places has the rest.
        invariance_weight: lambda.
        variance_weight: mu.
        covariance_weight: nu.
        matches: how many places of the first view, and of the second, are compared with the place of the other view
            that is nearest in features, and as many with the one that is nearest in the image.
        projector_hidden: width of the hidden layers of the projector for vectors.
        output_dim: its output's dimension.
        local_hidden: width of the projector for places.
        local_dim: its output's dimension.
    """

    primary: Literal["online"] = "online"
    optimizer: OptimizerSpec = OptimizerSpec(lr=1e-3, weight_decay=1e-4)
    views: tuple[ViewSpec, ...] = (_VIEW, _VIEW)
    global_weight: Share = 0.75
    invariance_weight: NonNegative = 25.0
    variance_weight: NonNegative = 25.0
    covariance_weight: NonNegative = 1.0
    matches: tuple[Count, Count] = (4, 4)
    projector_hidden: Count = 1024
    output_dim: Count = 1024
    local_hidden: Count = 256
    local_dim: Count = 256


class _Criterion(VICRegLLoss):  # type: ignore[misc]
    """Lightly's loss, without its covariance term, for which the host waits (`methods.losses`)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # VICReg adds both views' covariance terms, VICRegL takes their mean.
        self.vicreg_loss = VICRegCriterion(self.lambda_param, self.mu_param, 0.5 * self.nu_param, eps=self.eps)

    def _global_variance_and_covariance_loss(
        self,
        global_view_features: Sequence[tuple[Tensor, Tensor]],
        local_view_features: Sequence[tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Means over views; every view is a global one."""
        vectors = [vector for vector, _ in global_view_features]
        spread = torch.stack([variance_loss(each, self.eps) for each in vectors]).mean()
        return spread, torch.stack([covariance(each) for each in vectors]).mean()


class VICRegL(Method[VICRegLConfig]):
    """VICRegL (section 3): one projector for vectors, one for places; statistics over the whole batch."""

    name = "vicregl"
    display_name = "VICRegL"
    colour = "#5c1a33"
    config_class = VICRegLConfig
    needs_whole_batch = True
    needs_boxes = True
    backbone_kinds = ("cnn",)

    def __init__(self, config: VICRegLConfig, backbone: Backbone, task: Task) -> None:
        super().__init__(config, backbone, task)
        dimension = backbone.dimension
        self.projector = VICRegProjectionHead(dimension, config.projector_hidden, config.output_dim, num_layers=3)
        self.local_projector = VicRegLLocalProjectionHead(dimension, config.local_hidden, config.local_dim)
        self.criterion = _Criterion(
            lambda_param=config.invariance_weight,
            mu_param=config.variance_weight,
            nu_param=config.covariance_weight,
            alpha=config.global_weight,
            num_matches=config.matches,
        )

    @classmethod
    def check(cls, config: Any, grid: tuple[int, int]) -> None:
        """Refuses more matches than a map has cells.

        Raises:
            ValueError: says how many there are.
        """
        cells = grid[0] * grid[1]
        if max(config.matches) > cells:
            raise ValueError(f"matches is {config.matches}; a feature map has {grid[0]} x {grid[1]} = {cells} cells")

    def loss(self, batch: Batch, step: Step) -> LossOutput:
        """`global_weight` of the loss of vectors, the rest of that of places (section 3)."""
        features, grids = [], []
        for view, box_B4 in zip(batch.views, batch.boxes, strict=True):
            map_BhwD = self.backbone.feature_map(view).permute(0, 2, 3, 1)
            vectors, places = self.projector(map_BhwD.mean((1, 2))), self.local_projector(map_BhwD)
            features.append((whole_batch(vectors.float()), whole_batch(places.float())))
            grids.append(whole_batch(cell_centres(box_B4, (map_BhwD.shape[1], map_BhwD.shape[2]))))
        with full_precision(batch.views[0].device):
            return LossOutput(self.criterion(global_view_features=features, global_view_grids=grids).squeeze())


def cell_centres(box_B4: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where the cells of a view lie in its image, in shares of the image: row and column, `(B, h, w, 2)`.

    Args:
        box_B4: as `Batch.boxes` has it.
    """
    first_B2, last_B2 = box_B4[:, ::2], box_B4[:, 1::2]
    axes = [(torch.arange(count, device=box_B4.device) + 0.5) / count for count in grid]
    shares_hw2 = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return first_B2[:, None, None] + shares_hw2 * (last_B2 - first_B2)[:, None, None]
