"""Checkpoints as they are published: the layouts of single repositories, with the names of their own files.

Each function gets an encoder's weights under timm's names, and returns the content of the file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from layouts import under
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

Weights = dict[str, Tensor]

_HEAD = {"weight": torch.zeros(3, 8), "bias": torch.zeros(3)}


def renamed(weights: Weights, rules: list[tuple[str, str]]) -> Weights:
    """The weights with each rule tried at every name."""
    names = {}
    for name, value in weights.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        names[name] = value
    return names


def swav(weights: Weights) -> Any:
    """`swav_800ep_pretrain.pth.tar`: a state dict alone, with projection head and prototypes."""
    heads = {"prototypes.weight": torch.zeros(30, 128), **under(_HEAD, "projection_head.0.")}
    return under({**weights, **heads}, "module.")


def mae(weights: Weights) -> Any:
    """`mae_pretrain_vit_base_full.pth`: with the decoder and its tokens."""
    decoder = {"decoder_pos_embed": torch.zeros(1, 17, 8), "mask_token": torch.zeros(1, 1, 8)}
    for name in ("decoder_embed.", "decoder_blocks.0.norm1.", "decoder_norm.", "decoder_pred."):
        decoder |= under(_HEAD, name)
    return {"model": {**weights, **decoder}}


def spark(weights: Weights) -> Any:
    """SparK's own checkpoint while it trains."""
    decoder = {**under(_HEAD, "dense_decoder.dec.0."), "mask_tokens.0": torch.zeros(1, 8, 1, 1)}
    return {"arch": "x", "module": {**under(weights, "sparse_encoder.sp_cnn."), **decoder}, "optimizer": {"state": {}}}


def deepspeed(weights: Weights) -> Any:
    """`mp_rank_00_model_states.pt`: the model under `module`, and states of much else beside it."""
    module = {**under(weights, "encoder."), **under(_HEAD, "head.0.")}
    return {"module": module, "optimizer": None, "ds_config": {"train_batch_size": 8}, "global_steps": 3}


def vissl(weights: Weights) -> Any:
    """`model_final_checkpoint_phase199.torch`: nested, with head, loss, optimizer and settings."""
    model = {"trunk": under(weights, "_feature_blocks."), "heads": under(_HEAD, "0.clf.0.")}
    state = {"base_model": {"model": model, "meta": {}}, "optimizer": {"optim": {"state": {0: dict(_HEAD)}}}}
    return {"classy_state_dict": {**state, "loss": {"queue": torch.zeros(8, 3)}}, "phase_idx": 199}


def wrapped(weights: Weights) -> Any:
    """What torch.compile, FSDP and activation checkpointing put into names."""
    inside = [(r"^(layer\d|blocks)\.(\d+)\.", r"\1._checkpoint_wrapped_module.\2._fsdp_wrapped_module.")]
    return {"model": under(renamed(weights, inside), "_orig_mod.module.")}


def lightning(weights: Weights) -> Any:
    """A Lightning checkpoint of a module with a network and heads."""
    state = {**under(weights, "net."), **under(_HEAD, "projection_head.0."), "queue": torch.zeros(8, 3)}
    return {"state_dict": state, "pytorch-lightning_version": "2.5", "callbacks": {}, "loops": {}}


def transformers_resnet(weights: Weights) -> Any:
    """`model.safetensors` of ResNetForImageClassification."""
    names = {}
    for name, value in weights.items():
        name = re.sub(r"^conv1\.", "embedder.embedder.convolution.", name)
        name = re.sub(r"^bn1\.", "embedder.embedder.normalization.", name)
        if found := re.match(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(.*)", name):
            stage, block, kind, number, rest = found.groups()
            if kind == "downsample.":
                part = f"shortcut.{('convolution', 'normalization')[int(number)]}"
            else:
                part = f"layer.{int(number) - 1}.{'convolution' if kind == 'conv' else 'normalization'}"
            name = f"encoder.stages.{int(stage) - 1}.layers.{block}.{part}.{rest}"
        names[name] = value
    return {**under(names, "resnet."), **under(_HEAD, "classifier.1.")}


_TRANSFORMERS_VIT = [
    (r"^(cls_token|mask_token|register_tokens)$", r"embeddings.\1"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.", "encoder.layer."),
    (r"attn\.([qkv])\.", lambda m: f"attention.attention.{dict(q='query', k='key', v='value')[m[1]]}."),
    (r"attn\.proj\.", "attention.output.dense."),
    (r"^norm\.", "layernorm."),
]


def split(weights: Weights) -> Weights:
    """Queries, keys and values apart."""
    apart = {}
    for name, value in weights.items():
        if ".attn.qkv." in name:
            parts = zip("qkv", value.chunk(3), strict=True)
            apart |= {name.replace("qkv", part): piece.contiguous() for part, piece in parts}
        else:
            apart[name] = value
    return apart


def transformers_vit(weights: Weights) -> Any:
    """`model.safetensors` of ViTForImageClassification."""
    own = [(r"mlp\.fc1\.", "intermediate.dense."), (r"mlp\.fc2\.", "output.dense.")]
    own += [(r"norm1\.", "layernorm_before."), (r"norm2\.", "layernorm_after.")]
    names = renamed(split(weights), [*_TRANSFORMERS_VIT, *own])  # type: ignore[list-item]
    return {**under(names, "vit."), **under(_HEAD, "vit.pooler.dense."), **under(_HEAD, "classifier.")}


def dinov2(weights: Weights) -> Any:
    """`dinov2_vits14_reg4_pretrain.pth`: registers, and a position of the class token, which timm adds to it."""
    names = {name.replace("reg_token", "register_tokens"): value for name, value in weights.items()}
    names["mask_token"] = torch.zeros(1, weights["norm.weight"].shape[0])
    if "reg_token" in weights:
        position = torch.full_like(weights["cls_token"], 0.25)
        names["cls_token"] = weights["cls_token"] - position
        names["pos_embed"] = torch.cat([position, weights["pos_embed"]], dim=1)
    return names


def dinov2_training(weights: Weights) -> Any:
    """`teacher_checkpoint.pth` of a DINOv2 run: blocks in chunks, beside the heads."""
    chunks = renamed(dinov2(weights), [(r"^blocks\.(\d+)\.", r"blocks.0.\1.")])
    return {
        "teacher": {**under(chunks, "backbone."), **under(_HEAD, "dino_head.mlp.0."), **under(_HEAD, "ibot_head.0.")}
    }


def transformers_dinov2(weights: Weights) -> Any:
    """`model.safetensors` of Dinov2WithRegistersModel."""
    scales = [(r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1")]
    return renamed(split(dinov2(weights)), [*_TRANSFORMERS_VIT, *scales])  # type: ignore[list-item]


def dinov3(weights: Weights) -> Any:
    """`dinov3_vits16_pretrain_lvd1689m-*.pth`: one bias of queries, keys and values, the keys' masked."""
    names: Weights = {"mask_token": torch.zeros(1, 1, 8), "rope_embed.periods": torch.zeros(4)}
    for name, value in weights.items():
        if name.endswith("attn.q_bias"):
            bias = torch.cat([value, torch.zeros_like(value), weights[name.replace("q_bias", "v_bias")]])
            names[name.replace("q_bias", "qkv.bias")] = bias
            names[name.replace("q_bias", "qkv.bias_mask")] = torch.ones_like(bias)
        elif not name.endswith("v_bias"):
            names[re.sub(r"gamma_([12])$", r"ls\1.gamma", name).replace("reg_token", "storage_tokens")] = value
    return names


def transformers_dinov3(weights: Weights) -> Any:
    """`model.safetensors` of DINOv3ViTModel."""
    names = {name: value for name, value in dinov3(weights).items() if not name.endswith((".bias_mask", ".periods"))}
    rules = [
        (r"^(cls_token|mask_token)$", r"embeddings.\1"),
        (r"^storage_tokens$", "embeddings.register_tokens"),
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings."),
        (r"^blocks\.", "layer."),
        (r"attn\.([qkv])\.", r"attention.\1_proj."),
        (r"attn\.proj\.", "attention.o_proj."),
        (r"mlp\.fc1\.", "mlp.up_proj."),
        (r"mlp\.fc2\.", "mlp.down_proj."),
        (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"),
    ]
    every = renamed(split(names), rules)
    return {name: value for name, value in every.items() if not name.endswith("k_proj.bias")}


def convnext(weights: Weights) -> Any:
    """`convnext_tiny_1k_224_ema.pth` of ConvNeXt's own repository."""
    rules = [
        (r"^stem\.", "downsample_layers.0."),
        (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"^stages\.(\d)\.blocks\.", r"stages.\1."),
        (r"conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"^norm_pre\.", "norm."),
    ]
    return {"model": {**renamed(weights, rules), **under(_HEAD, "head.")}}


def convnext_timm(weights: Weights) -> Any:
    """timm's ConvNeXt, which norms behind the pooling."""
    return {**renamed(weights, [(r"^norm_pre\.", "head.norm.")]), **under(_HEAD, "head.fc.")}


def transformers_convnext(weights: Weights) -> Any:
    """`model.safetensors` of ConvNextForImageClassification."""
    rules = [
        (r"^stem\.0\.", "embeddings.patch_embeddings."),
        (r"^stem\.1\.", "embeddings.layernorm."),
        (r"^stages\.(\d)\.downsample\.", r"encoder.stages.\1.downsampling_layer."),
        (r"^stages\.(\d)\.blocks\.(\d)\.norm\.", r"encoder.stages.\1.layers.\2.layernorm."),
        (r"^stages\.(\d)\.blocks\.(\d)\.gamma", r"encoder.stages.\1.layers.\2.layer_scale_parameter"),
        (r"^stages\.(\d)\.blocks\.", r"encoder.stages.\1.layers."),
        (r"conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"^norm_pre\.", "layernorm."),
    ]
    return {**under(renamed(weights, rules), "convnext."), **under(_HEAD, "classifier.")}


_VIT = {"name": "vit_tiny", "width": 32, "depth": 2, "patch_size": 8, "class_token": "features"}
_RESNET = {"name": "resnet18", "width": 8}
_CONVNEXT = {"name": "convnext_tiny"}
PUBLISHED: dict[str, tuple[Callable[[Weights], Any], dict[str, Any]]] = {
    "SwAV": (swav, _RESNET),
    "MAE, with its decoder": (mae, _VIT),
    "SparK": (spark, _RESNET),
    "DeepSpeed": (deepspeed, _VIT),
    "VISSL": (vissl, _RESNET),
    "torch.compile, FSDP, checkpointing": (wrapped, _VIT),
    "Lightning": (lightning, _RESNET),
    "transformers ResNet": (transformers_resnet, _RESNET),
    "transformers ViT": (transformers_vit, _VIT),
    "DINOv2": (dinov2, {**_VIT, "design": "dinov2"}),
    "DINOv2 with registers": (dinov2, {**_VIT, "design": "dinov2", "registers": 4}),
    "DINOv2 while training": (dinov2_training, {**_VIT, "design": "dinov2", "registers": 4}),
    "transformers DINOv2": (transformers_dinov2, {**_VIT, "design": "dinov2", "registers": 4}),
    "DINOv3": (dinov3, {**_VIT, "design": "dinov3", "registers": 4}),
    "transformers DINOv3": (transformers_dinov3, {**_VIT, "design": "dinov3", "registers": 4}),
    "timm ConvNeXt": (convnext_timm, _CONVNEXT),
    "ConvNeXt": (convnext, _CONVNEXT),
    "transformers ConvNeXt": (transformers_convnext, _CONVNEXT),
}
"""By name: the layout, and the backbone whose weights it takes."""


def encoder_weights(settings: dict[str, Any]) -> Weights:
    """Weights of a network of 32 px, none of which is constant."""
    from methods.backbone_build import build_backbone
    from methods.backbones import BackboneSpec

    torch.manual_seed(0)
    weights = build_backbone(BackboneSpec.model_validate(settings), 32).net.state_dict()
    return {
        name: value + 0.1 * torch.rand_like(value) if value.is_floating_point() else value
        for name, value in weights.items()
    }
