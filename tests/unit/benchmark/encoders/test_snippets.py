"""The code that is printed for an export; `test_export.py` runs it."""

from __future__ import annotations

import pytest

from benchmark.encoders.snippets import code, folder_code, onnx_code, timm_recipe, torchvision_recipe
from benchmark.errors import UserError
from methods.backbone_spec import BackboneSpec


def test_a_published_network_needs_no_changes() -> None:
    for library, recipe in (
        ("timm", timm_recipe(BackboneSpec(name="resnet50"), 224)),
        ("torchvision", torchvision_recipe(BackboneSpec(name="resnet50"))),
    ):
        own = [line for line in recipe.changes if line != "net.fc = nn.Identity()"]
        assert recipe.name == "resnet50" and not own, library


def test_widths_and_stems_are_changed_after_the_network_is_made() -> None:
    recipe = timm_recipe(BackboneSpec(name="resnet18", stem="small", width=16), 32)
    assert recipe.options == {"num_classes": 0, "channels": (16, 32, 64, 128)}
    printed = code("timm", recipe, "it's.safetensors")
    assert "net = timm.create_model('resnet18', num_classes=0, channels=(16, 32, 64, 128))" in printed
    assert "net.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)" in printed
    assert 'load_file("it\'s.safetensors")' in printed
    assert "padding=2" in timm_recipe(BackboneSpec(name="resnet18", stem="small_pad2"), 32).changes[0]


def test_a_vits_sizes_are_options() -> None:
    recipe = timm_recipe(BackboneSpec(name="vit_tiny", patch_size=4, depth=2, width=96), 32)
    expected = {"img_size": 32, "patch_size": 4, "depth": 2, "embed_dim": 96, "num_heads": 3, "class_token": False}
    assert expected.items() <= recipe.options.items() and not recipe.changes


def test_torchvision_has_one_width() -> None:
    with pytest.raises(UserError, match=r"torchvision's resnet18 has 64 channels, not 16"):
        torchvision_recipe(BackboneSpec(name="resnet18", width=16))


@pytest.mark.parametrize(
    "printed", [folder_code("/a/b"), onnx_code("x.onnx", 32), code("timm", timm_recipe(BackboneSpec(), 32), "x")]
)
def test_every_code_normalises_and_compiles(printed: str) -> None:
    compile(printed, "printed", "exec")
    assert "[0.485, 0.456, 0.406]" in printed and "[0.229, 0.224, 0.225]" in printed
