"""Encoders under other libraries' names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torchvision.models import resnet18

from benchmark.encoders.export import export
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"name": "resnet18"}, {}),
        (
            {"name": "vit_tiny", "patch_size": 16, "class_token": "features"},
            {"img_size": 32, "patch_size": 16, "class_token": True, "global_pool": "token", "fc_norm": False},
        ),
        (
            {"name": "vit_tiny", "patch_size": 8, "heads": 6},
            {"img_size": 32, "patch_size": 8, "class_token": False, "global_pool": "avg", "fc_norm": False}
            | {"num_heads": 6},
        ),
    ],
    ids=["resnet", "vit with a class token", "vit"],
)
def test_timm_computes_the_same_features_from_the_call_that_is_printed(
    stored_run: Any, tmp_path: Path, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    _, encoder = stored_run(settings)
    out = tmp_path / "out.safetensors"
    hint = export(tmp_path, "timm", out)
    name = "resnet18" if settings["name"] == "resnet18" else "vit_tiny_patch16_224"
    assert hint.startswith(f"timm.create_model('{name}', ")
    assert all(f"{key}={value!r}" in hint for key, value in options.items())
    theirs = timm.create_model(name, num_classes=0, **options)
    theirs.load_state_dict(load_file(out))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(theirs.eval()(images), encoder.features(images), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_torchvision_takes_all_but_the_classifier(stored_run: Any, tmp_path: Path) -> None:
    _, encoder = stored_run({"name": "resnet18"})
    out = tmp_path / "out.safetensors"
    hint = export(tmp_path / "record.json", "torchvision", out)
    assert hint.startswith("torchvision.models.resnet18().load_state_dict(")
    theirs = resnet18()
    missing, unexpected = theirs.load_state_dict(load_file(out), strict=False)
    assert missing == ["fc.weight", "fc.bias"] and not unexpected
    assert torch.equal(theirs.conv1.weight, encoder.backbone.net.conv1.weight)


@pytest.mark.parametrize(
    ("settings", "target", "message"),
    [
        ({"name": "resnet18", "stem": "small", "width": 8}, "timm", "timm has no resnet18 with a small stem"),
        ({"name": "resnet18", "stem": "small", "width": 8}, "torchvision", "torchvision has no resnet18 with a small"),
        ({"name": "vit_tiny", "width": 32, "depth": 1}, "timm", "timm has no vit_tiny of another width or depth"),
        ({"name": "vit_tiny", "width": 32, "depth": 1}, "torchvision", "names the parameters of vit_tiny differently"),
        ({"name": "resnet18", "stem": "small", "width": 8}, "tim", "did you mean 'timm'"),
    ],
)
def test_what_others_do_not_have_is_refused(
    stored_run: Any, tmp_path: Path, settings: dict[str, Any], target: str, message: str
) -> None:
    stored_run(settings)
    with pytest.raises(UserError, match=message):
        export(tmp_path, target, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_folder_without_a_finished_run_is_refused(stored_run: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run's folder"):
        export(tmp_path, "timm", tmp_path / "out.safetensors")
    stored_run({"name": "resnet18", "stem": "small", "width": 8}, status="failed", metrics=None)
    with pytest.raises(UserError, match="the run is failed; it left no encoder"):
        export(tmp_path, "timm", tmp_path / "out.safetensors")
