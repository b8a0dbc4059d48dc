"""CNN-JEPA: context encoder, predictor, EMA target encoder, loss (arXiv 2408.07514, section III).

Shape suffixes: B images, C H W pixels, D channels of the features, h w cells.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from cnn_jepa.losses import LossKind, Normalisation, feature_loss, masked_mean
from cnn_jepa.masked_dense import MaskedDenseEncoder
from cnn_jepa.predictor import ConvPredictor
from cnn_jepa.sparse import SparseEncoder

if TYPE_CHECKING:
    from cnn_jepa.masking import Masks

EncoderKind = Literal["sparse", "masked_dense"]
_ENCODERS: dict[EncoderKind, type[SparseEncoder] | type[MaskedDenseEncoder]] = {
    "sparse": SparseEncoder,
    "masked_dense": MaskedDenseEncoder,
}


@dataclass(frozen=True)
class JEPAOutput:
    """The features `(B, D, h, w)` of a forward pass, and its masks; `context` is zero at hidden cells."""

    context: Tensor
    predicted: Tensor
    target: Tensor
    masks: Masks


class CNNJEPA(nn.Module):
    """Predicts the features of an image's hidden cells from its visible ones; targets are from an EMA of the encoder.

    Args:
        network: a CNN whose `forward` returns its last feature map; trained in place.
        dimension: D, channels of that map.
        patch_size: pixels per cell of the map, the network's total stride.
        kernel_size: side of the predictor's kernel, odd.
        depthwise: depthwise-separable predictor, or full convolutions.
        projection_dim: width of an optional projection (1x1 convolution, batch norm, ReLU) on both sides.
        cycle: build a second predictor, from predicted targets back to the context (`cycle_loss`).
        encoder: how the context encoder computes: `sparse` runs on visible blocks alone, `masked_dense` on whole maps
            with zeros at masked cells, as published. Both give the same features.

    Raises:
        ValueError: the network cannot run on a part of an image.
    """

    def __init__(
        self,
        network: nn.Module,
        dimension: int,
        patch_size: int,
        *,
        predictor_depth: int = 3,
        kernel_size: int = 3,
        depthwise: bool = True,
        projection_dim: int | None = None,
        cycle: bool = False,
        encoder: EncoderKind = "sparse",
    ) -> None:
        super().__init__()
        self.network = network
        self.projection = _projection(dimension, projection_dim)
        self.target_network = _frozen(network)
        self.target_projection = _frozen(self.projection)
        width = projection_dim or dimension
        self.mask_token = nn.Parameter(torch.empty(1, width, 1, 1))
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        self.predictor = ConvPredictor(width, predictor_depth, kernel_size, depthwise=depthwise)
        self.back_predictor = ConvPredictor(width, predictor_depth, kernel_size, depthwise=depthwise) if cycle else None
        self.encoder_kind = encoder
        self._patch_size = patch_size
        self._build_encoders()

    def _build_encoders(self) -> None:
        kind = _ENCODERS[self.encoder_kind]
        # In tuples, so that the networks' parameters are not registered a second time.
        self._encoders = (kind(self.network, self._patch_size),)
        # The projection's batch norm sees visible cells only, like the encoder's.
        has_projection = not isinstance(self.projection, nn.Identity)
        self._projectors = (kind(self.projection, 1),) if has_projection else ()

    def synchronise_batch_norm(self) -> None:
        """Makes every batch norm take its statistics over all processes of a group (torch's `SyncBatchNorm`).

        The context encoder's statistics are over the visible positions of all processes, whose numbers may differ.
        Without a group nothing changes.
        """
        nn.SyncBatchNorm.convert_sync_batchnorm(self)  # type: ignore[no-untyped-call]
        self._build_encoders()  # the encoders hold the layers from before the conversion

    @property
    def context_encoder(self) -> SparseEncoder | MaskedDenseEncoder:
        """The network, run on the visible part of the images."""
        return self._encoders[0]

    @property
    def projectors(self) -> tuple[SparseEncoder | MaskedDenseEncoder, ...]:
        """The projection, run on the visible part of the features; empty without one."""
        return self._projectors

    def forward(self, images_BCHW: Tensor, masks: Masks) -> JEPAOutput:
        """Context, predicted and target features of images `(B, 3, H, W)`.

        The target encoder stays in training mode: its targets are normalised with the statistics of the full images,
        and its own running statistics follow them (as published).
        """
        with torch.no_grad():
            target = self.target_projection(self.target_network(images_BCHW))
        context = self.context_encoder(images_BCHW, masks)
        visible_B1hw = masks.context_Bhw.unsqueeze(1)
        if self._projectors:
            context = self._projectors[0](context, masks)
        filled = torch.where(visible_B1hw, context, self.mask_token.to(context.dtype))
        return JEPAOutput(context, self.predictor(filled), target, masks)

    def loss(self, output: JEPAOutput, kind: LossKind = "smooth_l1", normalisation: Normalisation = "l2") -> Tensor:
        """The mean loss over target cells, pooled over the batch. With the defaults: 1 - cosine similarity.

        For shares of a batch (`Masks.slice`) the average over equal shares is the batch's loss.
        """
        predicted, target = (features.movedim(1, -1) for features in (output.predicted, output.target))
        count = None if output.masks.counts is None else output.masks.counts.target
        return masked_mean(feature_loss(predicted, target, kind, normalisation), output.masks.target, count)

    def cycle_loss(
        self, output: JEPAOutput, kind: LossKind = "smooth_l1", normalisation: Normalisation = "l2"
    ) -> Tensor:
        """The loss of predicting the context back from the predicted targets alone, over context cells.

        Raises:
            ValueError: the model was built with `cycle=False`.
        """
        if self.back_predictor is None:
            raise ValueError("the model was built with cycle=False")
        hidden_B1hw = output.masks.target.unsqueeze(1)
        filled = torch.where(hidden_B1hw, output.predicted, self.mask_token.to(output.predicted.dtype))
        returned = self.back_predictor(filled).movedim(1, -1)
        context = output.context.detach().movedim(1, -1)
        count = None if output.masks.counts is None else output.masks.counts.context
        return masked_mean(feature_loss(returned, context, kind, normalisation), output.masks.context_Bhw, count)

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """Target <- momentum x target + (1 - momentum) x online, parameters only."""
        for target, online in ((self.target_network, self.network), (self.target_projection, self.projection)):
            moved: list[Tensor] = list(target.parameters())
            if moved:
                torch._foreach_lerp_(moved, list(online.parameters()), 1.0 - momentum)

    @torch.no_grad()
    def predict(self, images_BCHW: Tensor, masks: Masks) -> JEPAOutput:
        """Masks, and context, predicted and target features for a figure, in evaluation mode."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            output: JEPAOutput = self(images_BCHW, masks.to(images_BCHW.device))
            return output
        finally:
            for module, mode in modes:
                module.training = mode


def _projection(dimension: int, width: int | None) -> nn.Module:
    if width is None:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(dimension, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _frozen(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).requires_grad_(False)
