"""Translates the parameter names of other libraries to timm's, which are those of our networks.

Names that differ in spelling alone are translated wherever they stand (`translated`). What has to be known of the
network, too, is done under the encoder's own prefix (`fitted`): fused biases, register tokens, positions.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Weights = dict[str, Tensor]
_Rule = tuple[str, "str | Callable[[re.Match[str]], str]"]

# Wrappers of torch (compile, FSDP, activation checkpointing), anywhere in a name.
_WRAPPERS = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# A torchvision ResNet as a sequence of its parts, without the last one.
_SEQUENCE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


def _resnet_part(match: re.Match[str]) -> str:
    """`encoder.stages.0.layers.1.layer.2.convolution` is `layer1.1.conv3`."""
    stage, block, layer, kind = match.groups()
    return f"layer{int(stage) + 1}.{block}.{'conv' if kind == 'convolution' else 'bn'}{int(layer) + 1}"


def _resnet_shortcut(match: re.Match[str]) -> str:
    stage, block, kind = match.groups()
    return f"layer{int(stage) + 1}.{block}.downsample.{0 if kind == 'convolution' else 1}"


# Families of names: a pattern that shows that they are used, and the rules, each tried at every name in turn.
_FAMILIES: tuple[tuple[str, tuple[_Rule, ...]], ...] = (
    (  # transformers: ResNet
        r"embedder\.embedder\.convolution\.",
        (
            (r"embedder\.embedder\.convolution\.", "conv1."),
            (r"embedder\.embedder\.normalization\.", "bn1."),
            (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.(convolution|normalization)", _resnet_part),
            (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.(convolution|normalization)", _resnet_shortcut),
        ),
    ),
    (  # ConvNeXt: transformers, and its own repository
        r"\.dwconv\.",
        (
            (r"embeddings\.patch_embeddings\.", "stem.0."),
            (r"embeddings\.layernorm\.", "stem.1."),
            (r"encoder\.stages\.(\d+)\.downsampling_layer\.", r"stages.\1.downsample."),
            (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.", r"stages.\1.blocks.\2."),
            (r"downsample_layers\.0\.", "stem."),
            (r"downsample_layers\.(\d+)\.", r"stages.\1.downsample."),
            (r"stages\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
            (r"(blocks\.\d+)\.layer_scale_parameter$", r"\1.gamma"),
            (r"(blocks\.\d+)\.layernorm\.", r"\1.norm."),
            (r"\.dwconv\.", ".conv_dw."),
            (r"\.pwconv([12])\.", r".mlp.fc\1."),
            (r"^((?!.*blocks).*?)(?:layernorm|(?<![\w.])norm)\.(weight|bias)$", r"\1norm_pre.\2"),
        ),
    ),
    (  # transformers: ViT, ViT-MAE, I-JEPA, DINOv2 and DINOv3
        r"embeddings\.patch_embeddings\.",
        (
            (r"embeddings\.(cls_token|mask_token|register_tokens)$", r"\1"),
            (r"embeddings\.position_embeddings$", "pos_embed"),
            (r"embeddings\.patch_embeddings\.(?:projection\.)?", "patch_embed.proj."),
            (r"(?:encoder\.)?\blayer\.(\d+)\.", r"blocks.\1."),
            (r"attention\.attention\.(q|k|v)(?:uery|ey|alue)\.", r"attn.\1."),
            (r"attention\.(q|k|v)_proj\.", r"attn.\1."),
            (r"attention\.(?:output\.dense|o_proj)\.", "attn.proj."),
            (r"(?:intermediate\.dense|mlp\.up_proj)\.", "mlp.fc1."),
            (r"(?:\boutput\.dense|mlp\.down_proj)\.", "mlp.fc2."),
            (r"layernorm_before\.", "norm1."),
            (r"layernorm_after\.", "norm2."),
            (r"layer_scale([12])\.lambda1$", r"ls\1.gamma"),
            (r"\blayernorm\.", "norm."),
        ),
    ),
    # DINOv2 keeps blocks in chunks while it trains.
    (r"(?:^|\.)blocks\.\d+\.\d+\.", ((r"(^|\.)blocks\.\d+\.(\d+)\.", r"\1blocks.\2."),)),
)


def translated(tensors: Mapping[str, Tensor]) -> Weights:
    """The tensors under timm's names where those of another library are recognised; prefixes stay.

    Separate queries, keys and values become one; a bias that is missing for one of them is zero.
    """
    own = {_WRAPPERS.sub("", name): value for name, value in tensors.items()}
    for mark, rules in _FAMILIES:
        if any(re.search(mark, name) for name in own):
            own = {_apply(rules, name): value for name, value in own.items()}
    return _fused(own)


def _apply(rules: Iterable[_Rule], name: str) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _fused(tensors: Weights) -> Weights:
    part = re.compile(r"(.*\battn)\.([qkv])\.(weight|bias)$")
    groups: dict[tuple[str, str], Weights] = {}
    rest: Weights = {}
    for name, value in tensors.items():
        if found := part.match(name):
            groups.setdefault((found[1], found[3]), {})[found[2]] = value
        else:
            rest[name] = value
    for (where, kind), parts in groups.items():
        some = next(iter(parts.values()))
        rest[f"{where}.qkv.{kind}"] = torch.cat([parts.get(name, torch.zeros_like(some)) for name in "qkv"])
    return rest


def out_of_sequence(name: str) -> str:
    """The name of a torchvision ResNet's part that stands at a number in a sequence."""
    number, _, rest = name.partition(".")
    return f"{_SEQUENCE[number]}.{rest}" if number in _SEQUENCE else name


def anchors(name: str) -> tuple[str, ...]:
    """The ways in which the network's first parameter may be named in a file."""
    part, _, rest = name.partition(".")
    return (name, *(f"{number}.{rest}" for number, own in _SEQUENCE.items() if own == part))


def fitted(own: Weights, network: Any) -> tuple[Weights, str]:
    """An encoder's tensors, without its prefix, as the network names and shapes them.

    Returns:
        The tensors, and what was done with its positions, in words; empty if nothing was.
    """
    wanted = network.state_dict()
    if not wanted.keys() & own.keys():
        own = {out_of_sequence(name): value for name, value in own.items()}
    if "norm_pre.weight" in wanted:  # the norm that timm applies behind the pooling belongs to the map here
        own = {re.sub(r"^head\.norm\.", "norm_pre.", name): value for name, value in own.items()}
    if "blocks.0.gamma_1" in wanted:
        own = _as_dinov3(own, wanted)
    if "reg_token" in wanted:
        own = {re.sub(r"^(register|storage)_tokens$", "reg_token", name): value for name, value in own.items()}
    if "pos_embed" not in own or "pos_embed" not in wanted:
        return own, ""
    positions = own["pos_embed"]
    if "reg_token" in wanted and positions.ndim == 3 and _side(positions.shape[1]) is None and "cls_token" in own:
        # The class token's own position is added to the token once and for all; registers have none.
        own = {**own, "cls_token": own["cls_token"] + positions[:, :1], "pos_embed": positions[:, 1:]}
    if "blocks.0.ls1.gamma" in wanted:
        return _resampled(own, wanted["pos_embed"], network)
    return own, ""


def _resampled(own: Weights, wanted: Tensor, network: Any) -> tuple[Weights, str]:
    """DINOv2 is published for 518 px and used at any size: its positions are resampled, as timm does it."""
    prefix = 0 if network.no_embed_class else int(network.num_prefix_tokens)
    positions, (rows, columns) = own["pos_embed"], network.patch_embed.grid_size
    side = _side(positions.shape[1] - prefix) if positions.ndim == 3 else None
    if side is None or positions.shape == wanted.shape or positions.shape[2] != wanted.shape[2]:
        return own, ""
    new = resample_abs_pos_embed(positions.float(), [rows, columns], [side, side], prefix)
    return {**own, "pos_embed": new}, f"positions of {side} x {side} patches resampled to {rows} x {columns}"


def _side(patches: int) -> int | None:
    """The side of a square of so many patches; None if they are no square."""
    side = math.isqrt(max(patches, 0))
    return side if side and side * side == patches else None


def _as_dinov3(own: Weights, wanted: Mapping[str, Tensor]) -> Weights:
    """DINOv3 has no bias of the keys, and positions that turn queries and keys; timm names its scales differently."""
    fit: Weights = {}
    for name, value in own.items():
        if name.endswith("attn.qkv.bias"):
            start = name.removesuffix("qkv.bias")
            fit[f"{start}q_bias"], _, fit[f"{start}v_bias"] = value.chunk(3)
        elif not name.endswith((".bias_mask", ".periods")):
            fit[re.sub(r"\.ls([12])\.gamma$", r".gamma_\1", name)] = value
    # Published with and without biases, which are zero then.
    zeros = {name: torch.zeros_like(value) for name, value in wanted.items() if name.endswith((".q_bias", ".v_bias"))}
    return {**(zeros if not any(name.endswith(".q_bias") for name in fit) else {}), **fit}
