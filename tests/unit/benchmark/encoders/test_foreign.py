"""What a checkpoint tells of its network, and what is known of it otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from layouts import layout

from benchmark.cli.evaluate import _parsed
from benchmark.encoders.foreign import _load, recognise
from benchmark.encoders.formats import Foreign
from benchmark.errors import UserError
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec


def _foreign(kind: str, prefix: str | None = None, **settings: Any) -> Foreign:
    spec = BackboneSpec(name="vit_small", depth=1, patch_size=16, **settings)
    return Foreign(Path("w.pth"), spec, "theirs", kind, prefix)


@pytest.fixture(scope="module")
def weights() -> Any:
    torch.manual_seed(0)
    return build_backbone(_foreign("bench", class_token="features").backbone, 32).net.state_dict()


@pytest.mark.parametrize(
    ("kind", "prefix", "settings", "heads"),
    [
        ("moco", None, {}, 12),
        ("auto", "module.base_encoder.", {}, 12),
        ("moco", None, {"heads": 6}, 6),
        ("auto", "module.momentum_encoder.", {}, 6),
        ("moco", None, {"width": 384}, 12),
    ],
)
def test_moco_v3s_small_vit_has_twelve_heads(
    weights: Any, kind: str, prefix: str | None, settings: dict[str, Any], heads: int
) -> None:
    foreign, backbone, found = recognise(_foreign(kind, prefix, **settings), layout("moco", weights), 32)
    assert found.whole and backbone.net.blocks[0].attn.num_heads == heads
    assert foreign.backbone.heads == (None if heads == 6 and not settings else heads)


def test_everybody_elses_has_six(weights: Any) -> None:
    for kind in ("dino", "timm", "bench"):
        foreign, backbone, _ = recognise(_foreign(kind), layout(kind, weights), 32)
        assert foreign.backbone.heads is None and backbone.net.blocks[0].attn.num_heads == 6


def test_a_class_token_is_found_unless_the_user_says(weights: Any) -> None:
    content = layout("dino", weights)
    for settings, pooling in (({}, "class token"), ({"class_token": "beside"}, "average of patch tokens")):
        foreign, backbone, found = recognise(_foreign("dino", **settings), content, 32)
        assert found.whole and backbone.pooling == pooling
        assert foreign.backbone.class_token == settings.get("class_token", "features")
    _, backbone, found = recognise(_foreign("dino", class_token=None), content, 32)
    assert found.unexpected == ("cls_token",) and not found.whole


def test_weights_of_other_patches_name_the_backbone_that_fits(tmp_path: Path) -> None:
    weights = build_backbone(BackboneSpec(name="vit_tiny", depth=1, patch_size=4), 32).net.state_dict()
    torch.save(weights, tmp_path / "w.pth")
    foreign = Foreign(tmp_path / "w.pth", BackboneSpec(name="vit_tiny", depth=1), "theirs")
    with pytest.raises(UserError, match=r"4 px: --backbone vit_tiny,depth=1,patch_size=4 \(") as refused:
        _load(foreign, 32, Mock())
    assert "positions" not in str(refused.value) and "--size" not in str(refused.value)
    _, _, found = _load(replace(foreign, backbone=_parsed("vit_tiny,depth=1,patch_size=4")), 32, Mock())
    assert found.whole


def test_what_is_not_found_names_the_file(weights: Any) -> None:
    with pytest.raises(UserError, match=r"w\.pth: --format cnn-jepa keeps its encoder under 'backbone_momentum\.'"):
        recognise(_foreign("cnn-jepa"), layout("solo-learn", weights), 32)
