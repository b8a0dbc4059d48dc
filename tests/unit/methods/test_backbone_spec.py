"""Backbone specifications: what is refused, what follows from them, and that they cost no import of torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import methods.backbones
from methods.backbone_spec import BACKBONES, BackboneSpec, vit_heads, vit_width
from methods.config import plain


def test_planning_imports_neither_torch_nor_timm() -> None:
    code = (
        "import sys, methods.backbone_spec, methods.config, methods.registry, methods.views\n"
        "names = methods.registry.method_names()\n"
        "assert methods.registry.describe_method('ijepa').kinds == ('vit',)\n"
        "assert methods.backbone_spec.BackboneSpec(name='vit_tiny', patch_size=4).grid(32) == (8, 8)\n"
        "print(*sorted({'torch', 'timm', 'lightly'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == []


def test_the_names_are_those_of_the_module_that_builds() -> None:
    assert methods.backbones.BackboneSpec is BackboneSpec
    assert methods.backbones.BACKBONES is BACKBONES


@pytest.mark.parametrize(
    ("spec", "kind", "stride", "grid"),
    [
        (BackboneSpec(), "cnn", 32, (7, 7)),
        (BackboneSpec(stem="small"), "cnn", 8, (28, 28)),
        (BackboneSpec(stem="small_pad2"), "cnn", 8, (29, 29)),
        (BackboneSpec(name="convnext_tiny"), "cnn", 32, (7, 7)),
        (BackboneSpec(name="vit_small"), "vit", 16, (14, 14)),
        (BackboneSpec(name="vit_tiny", patch_size=14), "vit", 14, (16, 16)),
    ],
)
def test_kind_stride_and_grid(spec: BackboneSpec, kind: str, stride: int, grid: tuple[int, int]) -> None:
    assert (spec.kind, spec.stride, spec.grid(224)) == (kind, stride, grid)


@pytest.mark.parametrize(
    ("settings", "image_size", "message"),
    [
        ({}, 40, "not divisible by the total stride 32 of resnet18; nearest sizes that are: 32, 64"),
        ({}, 16, "total stride 32 of resnet18; nearest sizes that are: 32, 64"),
        ({"name": "vit_tiny", "patch_size": 6}, 32, "the patch size 6 of vit_tiny; nearest sizes that are: 30, 36"),
    ],
)
def test_an_image_size_that_does_not_fit(settings: dict[str, object], image_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BackboneSpec.model_validate(settings).grid(image_size)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet81"}, "unknown backbone 'resnet81'; did you mean 'resnet18'"),
        ({"depth": 3}, "'depth' does not apply to resnet18"),
        ({"name": "vit_tiny", "stem": "small"}, "'stem' does not apply to vit_tiny"),
        ({"name": "convnext_tiny", "width": 32}, "'width' does not apply to convnext_tiny"),
        ({"name": "vit_tiny", "width": 80}, "width is 80; a ViT's has to be divisible by 32"),
        ({"design": "dinov2"}, "'design' does not apply to resnet18"),
        ({"name": "vit_tiny", "registers": 4}, "has a class token, too: class_token=features or beside"),
        ({"name": "vit_tiny", "heads": 5}, "heads is 5; it has to divide the width, 192"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BackboneSpec.model_validate(settings)


def test_a_vit_has_one_head_per_64_channels_or_per_32() -> None:
    specs = [BackboneSpec(name="vit_small"), *(BackboneSpec(name="vit_tiny", width=width) for width in (128, 96))]
    assert [(vit_width(spec), vit_heads(spec)) for spec in specs] == [(384, 6), (128, 2), (96, 3)]
    assert vit_heads(BackboneSpec(name="vit_tiny", heads=4)) == 4


def test_later_settings_are_written_only_where_they_are_set() -> None:
    assert list(plain(BackboneSpec(name="vit_tiny"))) == ["name", "stem", "width", "depth", "patch_size"]
    spec = BackboneSpec(name="vit_tiny", heads=4, class_token="beside")
    assert plain(spec) == {**plain(BackboneSpec(name="vit_tiny")), "heads": 4, "class_token": "beside"}
    assert BackboneSpec.model_validate(plain(spec)) == spec


def test_what_only_networks_trained_elsewhere_have() -> None:
    assert BackboneSpec().elsewhere is None
    assert BackboneSpec(stem="small_pad2").elsewhere == "stem=small_pad2"
    assert BackboneSpec(name="vit_tiny", class_token="features").elsewhere is None


def test_settings_of_networks_trained_elsewhere_are_named_and_left_out_where_unset() -> None:
    foreign = BackboneSpec(name="vit_tiny", class_token="beside", design="dinov2", registers=4)
    assert foreign.elsewhere == "design" and BackboneSpec(name="vit_tiny").elsewhere is None
    assert not {"class_token", "design", "registers"} & plain(BackboneSpec(name="vit_tiny")).keys()
    assert BackboneSpec.model_validate(plain(foreign)) == foreign
