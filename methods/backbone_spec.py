"""Which backbone: its name, its shape settings, and what they imply (kind, stride, grid), without importing torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from methods.config import Config, Count, nearest

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2")
CONVNEXTS = ("convnext_tiny",)
VIT_WIDTHS = {"vit_tiny": 192, "vit_small": 384, "vit_base": 768}
BACKBONES = (*RESNETS, *CONVNEXTS, *VIT_WIDTHS)

# Settings of ViTs that only networks trained elsewhere have.
_FOREIGN = ("design", "registers")


class BackboneSpec(Config):
    """Which network.

    Attributes:
        name: one of `BACKBONES`.
        stem: of a ResNet: `imagenet` (7x7, stride 2, pooling) or `small` (3x3, stride 1, no pooling; 32 to 64 px);
            `small_pad2` is one trained elsewhere that pads by 2 (solo-learn's for CIFAR).
        width: channels of a ResNet's first stage (64 as published), or a ViT's embedding dimension.
        depth: number of a ViT's blocks (12 as published).
        patch_size: side of a ViT's patches in pixels (16 as published).
        heads: of a ViT's attention; one per 64 channels by default (3, 6 and 12), or per 32.
        class_token: of a ViT: `features` takes the token's last state as the feature vector, `beside` takes the mean of
            the patch tokens. None: the network has no such token.
        design: of a ViT trained elsewhere, where it is not the plain one: `dinov2` scales the output of its layers,
            `dinov3` also turns queries and keys by their positions instead of adding positions.
        registers: of a ViT trained elsewhere: tokens beside the class token that features do not look at.
    """

    name: str = "resnet18"
    stem: Literal["imagenet", "small", "small_pad2"] = "imagenet"
    width: Annotated[int, Field(ge=8)] | None = None
    depth: Count | None = None
    patch_size: Count | None = None
    heads: Count | None = None
    class_token: Literal["features", "beside"] | None = None
    design: Literal["dinov2", "dinov3"] | None = None
    registers: Count | None = None

    @model_validator(mode="after")
    def _fits(self) -> BackboneSpec:
        if self.name not in BACKBONES:
            raise ValueError(f"unknown backbone '{self.name}'; {nearest(self.name, BACKBONES)}")
        vit = self.kind == "vit"
        resnet = self.name in RESNETS
        vit_keys = dict.fromkeys(("depth", "patch_size", "heads", "class_token", *_FOREIGN), vit)
        for key, allowed in {"stem": resnet, "width": resnet or vit, **vit_keys}.items():
            if not allowed and key in self.model_fields_set and getattr(self, key) not in (None, "imagenet"):
                raise ValueError(f"'{key}' does not apply to {self.name}")
        if vit and self.width is not None and self.width % 32:
            raise ValueError(f"width is {self.width}; a ViT's has to be divisible by 32")
        if vit and self.heads is not None and vit_width(self) % self.heads:
            raise ValueError(f"heads is {self.heads}; it has to divide the width, {vit_width(self)}")
        if (self.design or self.registers) and self.class_token is None:
            raise ValueError(
                "a network with design or registers has a class token, too: class_token=features or beside"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unset_later_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out keys added later where they are unset, so that records from before and after compare equal."""
        later = ("heads", "class_token", *_FOREIGN)
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if name not in later or value is not None}

    @property
    def kind(self) -> Literal["cnn", "vit"]:
        """The family of networks it belongs to."""
        return "vit" if self.name in VIT_WIDTHS else "cnn"

    @property
    def stride(self) -> int:
        """Pixels per cell of the feature map."""
        if self.kind == "vit":
            return self.patch_size or 16
        return 32 if self.stem == "imagenet" else 8

    @property
    def elsewhere(self) -> str | None:
        """The setting that only networks trained elsewhere have; this suite trains nothing with it."""
        foreign = next((name for name in _FOREIGN if getattr(self, name) is not None), None)
        return foreign or ("stem=small_pad2" if self.stem == "small_pad2" else None)

    def grid(self, image_size: int) -> tuple[int, int]:
        """Rows and columns of the feature map.

        Raises:
            ValueError: the image size is not a multiple of the stride.
        """
        if image_size % self.stride or image_size < self.stride:
            divisor = "patch size" if self.kind == "vit" else "total stride"
            lower = max(self.stride, image_size // self.stride * self.stride)
            nearby = sorted({lower, lower + self.stride})
            raise ValueError(
                f"image size {image_size} is not divisible by the {divisor} {self.stride} of {self.name}; "
                f"nearest sizes that are: {', '.join(map(str, nearby))}"
            )
        side = image_size // self.stride
        if self.stem == "small_pad2":
            side += 1  # two more pixels, halved three times and rounded up
        return side, side


def vit_width(spec: BackboneSpec) -> int:
    """Embedding dimension of a ViT."""
    return spec.width or VIT_WIDTHS[spec.name]


def vit_heads(spec: BackboneSpec) -> int:
    """Attention heads of a ViT: one per 64 channels, or per 32 where 64 does not divide the width."""
    width = vit_width(spec)
    return spec.heads or width // (64 if width % 64 == 0 else 32)
