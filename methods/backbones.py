"""Backbones: networks of timm that give feature maps and feature vectors. `backbone_build` makes them.

Shape suffixes: B images, D feature dimension, h w cells of the feature map, N tokens, K kept tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from methods.backbone_spec import BACKBONES, CONVNEXTS, BackboneSpec

__all__ = [
    "BACKBONES",
    "CNN",
    "Backbone",
    "BackboneSpec",
    "ForeignViT",
    "ViT",
    "count_parameters",
    "use_plain_attention",
]


class Backbone(nn.Module, ABC):
    """A network that turns images into a feature map and a feature vector.

    Attributes:
        spec: what it was built from.
        dimension: D, of a feature vector.
        pooling: how the vector comes from the map.
    """

    pooling: str

    def __init__(self, spec: BackboneSpec, net: nn.Module, dimension: int) -> None:
        super().__init__()
        self.spec = spec
        self.net: Any = net
        self.dimension = dimension

    @abstractmethod
    def feature_map(self, images: Tensor) -> Tensor:
        """Feature maps `(B, D, h, w)` of images `(B, 3, H, W)`."""

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of every stage, from fine to coarse; the last is `feature_map`'s.

        Raises:
            ValueError: the network has no stages.
        """
        raise ValueError(f"{self.spec.name} has no stages of different resolution; take feature_map")

    def with_net(self, net: nn.Module) -> Backbone:
        """The same kind of backbone around another network of the same architecture."""
        return type(self)(self.spec, net, self.dimension)

    def features(self, images: Tensor) -> Tensor:
        """Feature vectors `(B, D)`: the mean of the last map over its cells."""
        return self.feature_map(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """The same as `features`."""
        return self.features(images)


class CNN(Backbone):
    """A convolutional network; `net(images)` is its last feature map."""

    pooling = "global average of the last map"

    def feature_map(self, images: Tensor) -> Tensor:
        """Feature maps `(B, D, h, w)` of images `(B, 3, H, W)`."""
        features: Tensor = self.net(images)
        return features

    @property
    def stages(self) -> tuple[str, ...]:
        """Paths of the network's stages but the last, from fine to coarse, as `SparseEncoder` takes them."""
        if self.spec.name in CONVNEXTS:
            return ("stages.0", "stages.1", "stages.2")
        return ("layer1", "layer2", "layer3")

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps `(B, C, h, w)` of the four stages, from fine to coarse."""
        last, maps = self.net.forward_intermediates(images, indices=len(self.stages) + 1)
        return [*maps[:-1], last]


class ViT(Backbone):
    """A vision transformer with fixed two-dimensional sine-cosine positions, with or without a class token.

    Images of another size than it was built for get interpolated positions. An encoder that was trained elsewhere
    brings positions of its own.
    """

    @property
    def pooling(self) -> str:  # type: ignore[override]
        """What its features are."""
        return "class token" if self.spec.class_token == "features" else "average of patch tokens"

    @property
    def prefix(self) -> int:
        """How many tokens come before those of the patches."""
        return 0 if self.spec.class_token is None else 1

    def states(
        self,
        images: Tensor,
        keep_BK: Tensor | None = None,
        *,
        replace_BN: Tensor | None = None,
        mask_token: Tensor | None = None,
        blocks: int = 1,
    ) -> list[Tensor]:
        """The states after the last blocks, the very last after the final norm.

        Args:
            images: `(B, 3, H, W)`, sides divisible by the patch size.
            keep_BK: indices of the patches to keep, in raster order, the others being left out (I-JEPA's context
                encoder, MAE); None keeps all.
            replace_BN: boolean; patches whose embedding is replaced by the mask token (iBOT, data2vec).
            mask_token: `(D,)`.
            blocks: of how many (data2vec averages several).

        Returns:
            Of each `(B, prefix + N, D)`, or `(B, prefix + K, D)`.
        """
        tokens = self.net.patch_embed(images)
        if replace_BN is not None:
            assert mask_token is not None
            tokens = torch.where(replace_BN.unsqueeze(-1), mask_token.to(tokens.dtype), tokens)
        positions = self._positions(images).to(tokens.dtype)
        tokens = tokens + positions[:, self.prefix :]
        if keep_BK is not None:
            tokens = tokens.gather(1, keep_BK.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
        if self.prefix:
            # Not `len(images)`: an exported graph would hold the number of images that it was made with.
            first_B1D = (self.net.cls_token.to(tokens.dtype) + positions[:, :1]).expand(tokens.shape[0], -1, -1)
            tokens = torch.cat((first_B1D, tokens), dim=1)
        tokens = self.net.norm_pre(tokens)
        states = []
        first = len(self.net.blocks) - blocks
        for number, block in enumerate(self.net.blocks):
            tokens = block(tokens)
            if number >= first:
                states.append(tokens)
        return [*states[:-1], self.net.norm(tokens)]

    def tokens(
        self,
        images: Tensor,
        keep_BK: Tensor | None = None,
        *,
        replace_BN: Tensor | None = None,
        mask_token: Tensor | None = None,
    ) -> Tensor:
        """The last states of the patches, `(B, N, D)` or `(B, K, D)`; arguments as for `states`."""
        states = self.states(images, keep_BK, replace_BN=replace_BN, mask_token=mask_token)
        return states[-1][:, self.prefix :]

    def feature_map(self, images: Tensor) -> Tensor:
        """Feature maps `(B, D, h, w)` of images `(B, 3, H, W)`: the patches' states."""
        rows, columns = (side // self.spec.stride for side in images.shape[-2:])
        return self.tokens(images).transpose(1, 2).reshape(images.shape[0], self.dimension, rows, columns)

    def features(self, images: Tensor) -> Tensor:
        """Feature vectors `(B, D)`: the class token's last state, or the mean of the patches'."""
        return self.pooled(self.states(images)[-1])

    def pooled(self, states: Tensor) -> Tensor:
        """Feature vectors `(B, D)` of last states, of all patches or of some."""
        return states[:, 0] if self.spec.class_token == "features" else states[:, self.prefix :].mean(1)

    def _positions(self, images: Tensor) -> Tensor:
        """Positions `(1, prefix + N, D)` for the patches of images of this size."""
        positions: Tensor = self.net.pos_embed
        old, new = self.net.patch_embed.grid_size, [side // self.spec.stride for side in images.shape[-2:]]
        if list(old) == new:
            return positions
        resampled: Tensor = resample_abs_pos_embed(positions, new, old, num_prefix_tokens=self.prefix)
        return resampled


class ForeignViT(Backbone):
    """A vision transformer of a later design, trained elsewhere: a class token, and registers beside it."""

    @property
    def pooling(self) -> str:  # type: ignore[override]
        """What its features are."""
        return "class token" if self.spec.class_token == "features" else "average of patch tokens"

    def feature_map(self, images: Tensor) -> Tensor:
        """Feature maps `(B, D, h, w)` of images `(B, 3, H, W)`: the patch tokens'."""
        rows, columns = (side // self.spec.stride for side in images.shape[-2:])
        patches_BND: Tensor = self.net.forward_features(images)[:, self.net.num_prefix_tokens :]
        return patches_BND.transpose(1, 2).reshape(images.shape[0], self.dimension, rows, columns)

    def features(self, images: Tensor) -> Tensor:
        """Feature vectors `(B, D)`: the class token's last state, or the mean of the patch tokens'."""
        if self.spec.class_token == "features":
            token: Tensor = self.net.forward_features(images)[:, 0]
            return token
        return super().features(images)


def count_parameters(module: nn.Module) -> int:
    """Number of parameters that are trained."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def use_plain_attention(module: nn.Module) -> None:
    """Makes timm's attention layers compute step by step instead of by the fused kernel.

    On a CPU in bfloat16 the fused kernel's backward pass takes about twice as long (torch 2.14, 64 tokens); on a GPU
    the fused one is faster and needs less memory.
    """
    for layer in module.modules():
        if hasattr(layer, "fused_attn"):
            setattr(layer, "fused_attn", False)  # noqa: B010 - a flag of timm's, unknown to nn.Module's types
