"""What a checkpoint tells of its network beside the weights: the traits of its ViT, and what a `config.json` says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.encoders.match import weights_of
from benchmark.errors import UserError
from benchmark.files.disk import read_json
from benchmark.files.expected import kind_of
from methods.backbone_spec import BACKBONES, VIT_WIDTHS, BackboneSpec, vit_heads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_REGISTERS = ("reg_token", "register_tokens", "storage_tokens")
_VITS = ("vit", "vit_mae", "vit_msn", "ijepa", "dinov2", "dinov2_with_registers", "dinov3_vit")
_RESNETS = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
}


def vit_traits(content: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the backbone that show in the tensors of a ViT: its class token, design and registers."""
    tensors = {name: value for part in weights_of(content).values() for name, value in part.items()}
    last = {name.rpartition(".")[2]: value for name, value in tensors.items()}
    scaled = any(name.endswith((".ls1.gamma", ".gamma_1")) for name in tensors)
    if "cls_token" not in last:
        return {}
    traits: dict[str, Any] = {"class_token": "features"}
    if scaled:
        traits["design"] = "dinov2" if "pos_embed" in last else "dinov3"
    registers = next((last[name] for name in _REGISTERS if name in last), None)
    if registers is not None and registers.ndim == 3:
        traits["registers"] = registers.shape[1]
    return traits


def backbone_of(config: Path) -> BackboneSpec:
    """The backbone that a `config.json` of transformers or of timm describes.

    Raises:
        UserError: it cannot be read, or describes a network that there is none of here.
    """
    described = read_json(config)
    if not isinstance(described, dict):
        raise UserError(f"{config}: holds {kind_of(described)}; expected the settings of a network")
    try:
        settings = _of_timm(described) if "architecture" in described else _of_transformers(described)
        if settings is not None:
            return _without_defaults(settings)
    except (ValidationError, TypeError, ValueError, KeyError, AttributeError):
        pass
    what = described.get("architecture") or described.get("model_type") or "no model_type"
    raise UserError(
        f"{config}: describes {what}, which is none of {', '.join(BACKBONES)} as far as its settings tell; "
        "if it is one, name it by --backbone"
    )


def _without_defaults(settings: dict[str, Any]) -> BackboneSpec:
    """The backbone without settings that change nothing: its record equals that of `--backbone NAME`."""
    spec = BackboneSpec.model_validate(settings)
    plain = {"patch_size": 16, "width": VIT_WIDTHS.get(spec.name), "depth": 12}
    plain["heads"] = vit_heads(spec.model_copy(update={"heads": None})) if spec.kind == "vit" else None
    given = spec.model_dump(exclude_unset=True)
    return BackboneSpec.model_validate({name: value for name, value in given.items() if value != plain.get(name)})


def _of_timm(described: dict[str, Any]) -> dict[str, Any] | None:
    architecture, options = str(described["architecture"]), described.get("model_args") or {}
    name = next((name for name in BACKBONES if re.match(rf"{name}(?:$|[._])", architecture)), None)
    if name is None:
        return None
    settings = {"name": name}
    for key, own in (("patch_size", "patch_size"), ("embed_dim", "width"), ("depth", "depth"), ("num_heads", "heads")):
        if key in options and name in VIT_WIDTHS:
            settings[own] = options[key]
    if found := re.search(r"_patch(\d+)_", architecture):
        settings.setdefault("patch_size", found[1])
    return settings


def _of_transformers(described: dict[str, Any]) -> dict[str, Any] | None:
    kind = described.get("model_type")
    if kind == "resnet":
        layers = (described.get("layer_type", "bottleneck"), tuple(described.get("depths", (3, 4, 6, 3))))
        return {"name": _RESNETS[layers]} if layers in _RESNETS else None
    if kind == "convnext":
        sizes = described.get("depths", [3, 3, 9, 3]), described.get("hidden_sizes", [96, 192, 384, 768])
        return {"name": "convnext_tiny"} if sizes == ([3, 3, 9, 3], [96, 192, 384, 768]) else None
    if kind not in _VITS or described.get("use_swiglu_ffn") or described.get("use_gated_mlp"):
        return None
    width, depth = described.get("hidden_size", 768), described.get("num_hidden_layers", 12)
    name = next((name for name, own in VIT_WIDTHS.items() if own == width), "vit_tiny")
    settings: dict[str, Any] = {"name": name, "patch_size": described.get("patch_size", 16)}
    return {**settings, "width": width, "depth": depth, "heads": described.get("num_attention_heads", 12)}
