"""Builds backbones by name, all from timm: ResNet, WideResNet, ConvNeXt; ViT with or without a class token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import Tensor, nn

from cnn_jepa.narrow import make_narrow_safe
from methods.backbone_spec import CONVNEXTS, vit_heads, vit_width
from methods.backbones import CNN, ForeignViT, ViT

if TYPE_CHECKING:
    from methods.backbone_spec import BackboneSpec
    from methods.backbones import Backbone

DINOV3 = "vit_small_patch16_dinov3_qkvb"
"""timm's DINOv3 with biases; all of its sizes are options."""


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
        return ForeignViT(spec, timm.create_model(DINOV3, **options, **registers), width)
    net = timm.create_model(f"{spec.name}_patch16_224", **options, **vit_options(spec))
    if spec.design or spec.registers:
        return ForeignViT(spec, net, width)
    net.patch_embed.strict_img_size = False  # `ViT` fits the positions to other sizes
    positions = sincos_positions(width, grid)
    if spec.class_token is not None:
        positions = torch.cat((positions.new_zeros(1, width), positions))  # the token has none (MAE, appendix A.1)
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
