"""What tensors and `config.json` say of a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from published import PUBLISHED, encoder_weights

from benchmark.encoders.traits import backbone_of, vit_traits
from benchmark.errors import UserError
from methods.backbone_spec import BackboneSpec

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["MAE, with its decoder", "transformers DINOv2", "DINOv2", "DINOv3"])
def test_a_vit_shows_its_token_design_and_registers(name: str) -> None:
    layout, settings = PUBLISHED[name]
    expected = {key: settings[key] for key in ("class_token", "design", "registers") if key in settings}
    assert vit_traits(layout(encoder_weights(settings))) == expected


def test_without_a_class_token_there_is_nothing_to_find() -> None:
    assert vit_traits({"pos_embed": torch.zeros(1, 4, 8)}) == {}


def _vit(**settings: Any) -> dict[str, Any]:
    return {"model_type": "vit", "hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 12, **settings}


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (_vit(), {"name": "vit_small"}),
        (_vit(patch_size=8), {"name": "vit_small", "patch_size": 8}),
        (_vit(num_attention_heads=12), {"name": "vit_small", "heads": 12}),
        (_vit(hidden_size=128, num_attention_heads=2), {"name": "vit_tiny", "width": 128}),
        (
            _vit(model_type="dinov2", num_hidden_layers=4, patch_size=14),
            {"name": "vit_small", "depth": 4, "patch_size": 14},
        ),
        ({"model_type": "resnet", "layer_type": "basic", "depths": [2, 2, 2, 2]}, {"name": "resnet18"}),
        ({"model_type": "resnet"}, {"name": "resnet50"}),
        ({"model_type": "convnext"}, {"name": "convnext_tiny"}),
        ({"architecture": "resnet50", "model_args": {}}, {"name": "resnet50"}),
        ({"architecture": "vit_small_patch14_reg4_dinov2"}, {"name": "vit_small", "patch_size": 14}),
        (
            {"architecture": "vit_tiny_patch16_224", "model_args": {"patch_size": 4, "depth": 2, "num_heads": 3}},
            {"name": "vit_tiny", "patch_size": 4, "depth": 2},
        ),
    ],
)
def test_a_config_says_which_backbone(tmp_path: Path, config: dict[str, Any], settings: dict[str, Any]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    found = backbone_of(path)
    assert found == BackboneSpec.model_validate(settings)
    assert found.model_fields_set == set(settings)  # so that the record is that of `--backbone NAME`


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model_type": "swin"}', "describes swin, which is none of resnet18, "),
        ('{"architecture": "efficientnet_b0"}', "describes efficientnet_b0, "),
        ('{"model_type": "dinov2", "use_swiglu_ffn": true}', "name it by --backbone"),
        ('{"model_type": "resnet", "depths": [1, 1]}', "describes resnet, "),
        ('{"hidden_size": 3}', "describes no model_type, "),
        ("[]", "holds a list; expected the settings of a network"),
        ("{", "not a JSON file"),
    ],
)
def test_a_config_of_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        backbone_of(path)
    assert str(refused.value).startswith(f"{path}: ") and message in str(refused.value)
