"""The code that makes a network of ours in timm or torchvision and loads its exported weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmark.data.datasets import IMAGENET_MEAN, IMAGENET_STD
from benchmark.errors import UserError
from methods.backbone_build import DINOV3, vit_options
from methods.backbone_spec import CONVNEXTS, BackboneSpec, vit_heads, vit_width

if TYPE_CHECKING:
    from collections.abc import Iterable

_BASIC = ("resnet18", "resnet34")


@dataclass(frozen=True)
class Recipe:
    """How another library makes a network.

    Attributes:
        name: of the library's own network.
        options: to make it with.
        changes: statements that change it into ours, where no options do.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()


def timm_recipe(spec: BackboneSpec, image_size: int) -> Recipe:
    """How timm makes a backbone."""
    if spec.kind == "vit":
        return _vit(spec, image_size)
    if spec.name in CONVNEXTS:
        return Recipe(spec.name, {"num_classes": 0, "head_norm_first": True})
    width = spec.width or 64
    options: dict[str, Any] = {"num_classes": 0}
    if width != 64:
        options["channels"] = tuple(width * 2**stage for stage in range(4))
    return Recipe(spec.name, options, (*_stem(spec, width), *(_first_block(spec, width) if width != 64 else ())))


def _vit(spec: BackboneSpec, image_size: int) -> Recipe:
    options: dict[str, Any] = {"img_size": image_size, "patch_size": spec.patch_size or 16, "num_classes": 0}
    if spec.depth is not None:
        options["depth"] = spec.depth
    if spec.width is not None or spec.heads is not None or spec.design == "dinov3":
        options |= {"embed_dim": vit_width(spec), "num_heads": vit_heads(spec)}
    if spec.design == "dinov3":
        pool = "token" if spec.class_token == "features" else "avg"
        options |= {"num_reg_tokens": spec.registers or 0, "global_pool": pool}
        return Recipe(DINOV3, options)
    return Recipe(f"{spec.name}_patch16_224", {**options, **vit_options(spec)})


def torchvision_recipe(spec: BackboneSpec) -> Recipe:
    """How torchvision makes a backbone.

    Raises:
        UserError: it has none with the same parameter names.
    """
    if not spec.name.startswith(("resnet", "wide_resnet")):
        raise UserError(f"torchvision names the parameters of {spec.name} differently; use --to timm or --to onnx")
    if spec.width not in (None, 64):
        raise UserError(f"torchvision's {spec.name} has 64 channels, not {spec.width}; use --to timm or --to onnx")
    return Recipe(spec.name, {}, (*_stem(spec, 64), "net.fc = nn.Identity()"))


def _stem(spec: BackboneSpec, width: int) -> tuple[str, ...]:
    if spec.stem == "imagenet":
        own = f"net.conv1 = nn.Conv2d(3, {width}, 7, stride=2, padding=3, bias=False)"
        return () if width == 64 else (own, f"net.bn1 = nn.BatchNorm2d({width})")
    padding = 2 if spec.stem == "small_pad2" else 1
    changes = [f"net.conv1 = nn.Conv2d(3, {width}, 3, padding={padding}, bias=False)", "net.maxpool = nn.Identity()"]
    if width != 64:
        changes.insert(1, f"net.bn1 = nn.BatchNorm2d({width})")
    return tuple(changes)


def _first_block(spec: BackboneSpec, width: int) -> tuple[str, ...]:
    """Timm fixes the stem at 64 channels, and so the first block's input."""
    if spec.name in _BASIC:
        return (
            f"net.layer1[0].conv1 = nn.Conv2d({width}, {width}, 3, padding=1, bias=False)",
            "net.layer1[0].downsample = None",
        )
    inner = "net.layer1[0].conv1.out_channels"
    return (
        f"net.layer1[0].conv1 = nn.Conv2d({width}, {inner}, 1, bias=False)",
        f"net.layer1[0].downsample = nn.Sequential(nn.Conv2d({width}, {4 * width}, 1, bias=False), "
        f"nn.BatchNorm2d({4 * width}))",
    )


def code(library: str, recipe: Recipe, weights: str) -> str:
    """A program that makes the network and loads weights from a file; it leaves `net`, `mean` and `std`."""
    options = ", ".join(f"{name}={value!r}" for name, value in recipe.options.items())
    make = f"timm.create_model({recipe.name!r}, {options})"
    if library == "torchvision":
        make = f"torchvision.models.{recipe.name}({options})"
    return _lines(
        [f"import {library}", "import torch", "from safetensors.torch import load_file", "from torch import nn", ""],
        [f"net = {make}", *recipe.changes, f"net.load_state_dict(load_file({weights!r}))"],
        ["net.eval()", *_normalise()],
    )


def folder_code(folder: str) -> str:
    """The same for a folder that timm opens itself."""
    return _lines(
        ["import timm", "import torch", "", f"net = timm.create_model({'local-dir:' + folder!r}, pretrained=True)"],
        ["net.eval()", *_normalise()],
    )


def onnx_code(file: str, image_size: int) -> str:
    """The same for a graph; images are arrays."""
    return _lines(
        ["import numpy as np", "import onnxruntime", "", f"session = onnxruntime.InferenceSession({file!r})"],
        [f"mean = np.array({list(IMAGENET_MEAN)}, np.float32)[:, None, None]"],
        [f"std = np.array({list(IMAGENET_STD)}, np.float32)[:, None, None]"],
        [f"# images: (N, 3, {image_size}, {image_size}), float32 in [0, 1]"],
        ["# (features,) = session.run(None, {'images': (images - mean) / std})"],
    )


def _normalise() -> list[str]:
    return [
        f"mean = torch.tensor({list(IMAGENET_MEAN)}).view(3, 1, 1)",
        f"std = torch.tensor({list(IMAGENET_STD)}).view(3, 1, 1)",
        "# features = net((images - mean) / std), images (N, 3, H, W) in [0, 1]",
    ]


def _lines(*parts: Iterable[str]) -> str:
    return "\n".join(line for part in parts for line in part)
