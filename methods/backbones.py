"""Backbones by name, all from timm: ResNet, WideResNet and ConvNeXt for the CNNs, ViT without a class token.

Encoders that were trained elsewhere may be ViTs with one (`class_token`).

Shape suffixes: B images, D feature dimension, h w cells of the feature map, N tokens, K kept tokens,
R registers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import timm
import torch
from torch import Tensor, nn

from cnn_jepa.narrow import make_narrow_safe
from methods.backbone_spec import BACKBONES, CONVNEXTS, BackboneSpec, vit_heads, vit_width

DINOV3 = "vit_small_patch16_dinov3_qkvb"
"""timm's DINOv3 with biases; all of its sizes are options."""

__all__ = [
    "BACKBONES",
    "CNN",
    "DINOV3",
    "Backbone",
    "BackboneSpec",
    "ClassTokenViT",
    "ViT",
    "build_backbone",
    "count_parameters",
    "sincos_positions",
    "use_plain_attention",
    "vit_options",
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


class ViT(Backbone):
    """A vision transformer without a class token, with fixed two-dimensional sine-cosine positions."""

    pooling = "average of patch tokens"

    def tokens(self, images: Tensor, keep_BK: Tensor | None = None) -> Tensor:
        """Encodes patches, all or a part of them (I-JEPA: the context encoder sees visible patches alone).

        Args:
            images: `(B, 3, H, W)`.
            keep_BK: indices of the patches to keep, in raster order; None keeps all.

        Returns:
            `(B, N, D)` or `(B, K, D)`.
        """
        embedded_BND = self.net.patch_embed(images)
        tokens = embedded_BND + self.net.pos_embed.to(embedded_BND.dtype)
        if keep_BK is not None:
            tokens = tokens.gather(1, keep_BK.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
        encoded: Tensor = self.net.norm(self.net.blocks(self.net.norm_pre(tokens)))
        return encoded

    def feature_map(self, images: Tensor) -> Tensor:
        """Feature maps `(B, D, h, w)` of images `(B, 3, H, W)`."""
        stride = self.spec.stride
        rows, columns = images.shape[-2] // stride, images.shape[-1] // stride
        tokens_BND = self.tokens(images)
        # Not `len(images)`: an exported graph would hold the number of images that it was made with.
        return tokens_BND.transpose(1, 2).reshape(images.shape[0], self.dimension, rows, columns)


class ClassTokenViT(Backbone):
    """A vision transformer with a class token before its patch tokens, and positions that come with its weights."""

    @property
    def pooling(self) -> str:  # type: ignore[override]
        """What its features are."""
        return "class token" if self.spec.class_token == "features" else ViT.pooling

    def _states(self, images: Tensor) -> Tensor:
        """Last states `(B, 1 + R + N, D)` of class token, registers and patch tokens, after the final norm."""
        states: Tensor = self.net.forward_features(images)
        return states

    def feature_map(self, images: Tensor) -> Tensor:
        """Feature maps `(B, D, h, w)` of images `(B, 3, H, W)`: the patch tokens'."""
        rows, columns = (side // self.spec.stride for side in images.shape[-2:])
        patches_BND = self._states(images)[:, self.net.num_prefix_tokens :]
        return patches_BND.transpose(1, 2).reshape(images.shape[0], self.dimension, rows, columns)

    def features(self, images: Tensor) -> Tensor:
        """Feature vectors `(B, D)`: the class token's last state, or the mean of the patch tokens'."""
        if self.spec.class_token == "features":
            return self._states(images)[:, 0]
        return super().features(images)


def sincos_positions(dimension: int, grid: tuple[int, int]) -> Tensor:
    """Fixed positions `(N, dimension)`: half the channels for the row, half for the column (MoCo v3, section 4.3).

    Args:
        dimension: divisible by 4.
        grid: rows and columns.
    """
    if dimension % 4:
        raise ValueError(f"positions need a dimension divisible by 4, not {dimension}")
    frequencies = 1.0 / 10000 ** (torch.arange(dimension // 4, dtype=torch.float64) / (dimension // 4))
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    halves = []
    for positions in (rows, columns):
        angles = positions.reshape(-1, 1) * frequencies
        halves += [angles.sin(), angles.cos()]
    return torch.cat(halves, dim=1).float()


def build_backbone(spec: BackboneSpec, image_size: int) -> Backbone:
    """Builds a backbone with fresh weights, drawn from torch's global generator.

    Raises:
        ValueError: the image size does not fit.
    """
    grid = spec.grid(image_size)
    if spec.kind == "vit":
        return _build_vit(spec, image_size, grid)
    if spec.name in CONVNEXTS:
        # The norm that timm would apply behind the pooling belongs to the map here: masks and probes need it there.
        net = timm.create_model(spec.name, num_classes=0, global_pool="", head_norm_first=True)
        return CNN(spec, net, net.num_features)
    return _build_resnet(spec)


def _build_resnet(spec: BackboneSpec) -> CNN:
    width = spec.width or 64
    options: dict[str, Any] = {"num_classes": 0, "global_pool": ""}
    if width != 64:
        options["channels"] = tuple(width * 2**stage for stage in range(4))
    net = timm.create_model(spec.name, **options)
    if spec.stem != "imagenet" or width != 64:
        _replace_stem(net, spec.stem, width)
    make_narrow_safe(net.modules())
    return CNN(spec, net, net.num_features)


def _replace_stem(net: Any, stem: str, width: int) -> None:
    """Gives a timm ResNet a stem of `width` channels, for small images without down-sampling (SimCLR, B.9)."""
    if stem != "imagenet":
        padding = 2 if stem == "small_pad2" else 1
        net.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=padding, bias=False)
        net.maxpool = nn.Identity()
    else:
        net.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    if width == 64:
        return
    net.bn1 = nn.BatchNorm2d(width)
    # timm fixes the stem at 64 channels, and so the first block's input; the rest follows `channels`.
    first = net.layer1[0]
    if hasattr(first, "conv3") and first.downsample is None:  # timm saw as many channels in as out
        out = first.conv3.out_channels
        first.downsample = nn.Sequential(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out))
    names = ["conv1"] + (["downsample.0"] if hasattr(first, "conv3") else [])
    for name in names:
        holder: Any = first if "." not in name else first.downsample
        key = name.split(".")[-1]
        old = getattr(holder, key)
        new = nn.Conv2d(width, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
        setattr(holder, key, new)
    if not hasattr(first, "conv3"):
        first.downsample = None


def _build_vit(spec: BackboneSpec, image_size: int, grid: tuple[int, int]) -> Backbone:
    width = vit_width(spec)
    options: dict[str, Any] = {
        "embed_dim": width,
        "num_heads": vit_heads(spec),
        "img_size": image_size,
        "patch_size": spec.patch_size or 16,
        "num_classes": 0,
        **({} if spec.depth is None else {"depth": spec.depth}),
    }
    if spec.design == "dinov3":
        registers = {"num_reg_tokens": spec.registers or 0, "global_pool": "token"}
        return ClassTokenViT(spec, timm.create_model(DINOV3, **options, **registers), width)
    net = timm.create_model(f"{spec.name}_patch16_224", **options, **vit_options(spec))
    if spec.class_token is not None:
        return ClassTokenViT(spec, net, width)
    positions = sincos_positions(width, grid)
    net.pos_embed = nn.Parameter(positions.unsqueeze(0), requires_grad=False)
    return ViT(spec, net, width)


def vit_options(spec: BackboneSpec) -> dict[str, Any]:
    """What tells a ViT of ours from timm's of its name, beside its sizes: arguments of `timm.create_model`."""
    pool = "token" if spec.class_token == "features" else "avg"
    options: dict[str, Any] = {"class_token": spec.class_token is not None, "global_pool": pool, "fc_norm": False}
    if spec.design == "dinov2":
        options["init_values"] = 1.0  # the scales of its layers come with its weights
    if spec.registers:
        options |= {"reg_tokens": spec.registers, "no_embed_class": True}
    return options


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
