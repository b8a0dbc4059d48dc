"""The suite's encoders in other libraries, and back."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torchvision.models import resnet18 as torchvision_resnet18

from benchmark.encoders.foreign import recognise
from benchmark.encoders.formats import Foreign
from benchmark.encoders.read import read_checkpoint
from benchmark.records.folder import find_records
from benchmark.training.checkpoint import load_encoder
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from pathlib import Path


def run_folder(bench: Any, out: Path, backbone: dict[str, Any]) -> tuple[Path, Encoder]:
    config = bench.config(entries=[{"method": "random_init", "backbone": backbone}])
    code, printed = bench("run", config, "--out", out)
    assert code == 0, printed
    (path,) = out.glob("*/random_init/*/record.json")
    ((_, record),) = find_records([out])[0]
    return path.parent, load_encoder(path.parent, record)


@pytest.mark.slow
def test_the_round_trip_through_timm_and_torchvision_changes_nothing(bench: Any, tmp_path: Path) -> None:
    folder, encoder = run_folder(bench, tmp_path / "out", {"name": "resnet18"})
    images = torch.randn(2, 3, 32, 32)
    expected = encoder.features(images)
    code, printed = bench("export", folder, "--to", "timm", "--out", tmp_path / "timm.safetensors")
    assert code == 0 and "timm.create_model('resnet18', num_classes=0)" in printed
    theirs = timm.create_model("resnet18", num_classes=0)
    theirs.load_state_dict(load_file(tmp_path / "timm.safetensors"))
    torch.testing.assert_close(theirs.eval()(images), expected)
    code, printed = bench("export", folder, "--to", "torchvision", "--out", tmp_path / "tv.safetensors")
    assert code == 0 and "torchvision.models.resnet18()" in printed
    other = torchvision_resnet18()
    missing, unexpected = other.load_state_dict(load_file(tmp_path / "tv.safetensors"), strict=False)
    other.fc = torch.nn.Identity()
    assert missing == ["fc.weight", "fc.bias"] and not unexpected
    torch.testing.assert_close(other.eval()(images), expected)

    # And back: the same weights, tensor by tensor, are the same scores.
    original = load_file(folder / "encoder.safetensors")
    for name, kind in (("timm", "timm"), ("tv", "torchvision"), ("tv", "auto")):
        path = tmp_path / f"{name}.safetensors"
        foreign = Foreign(path, BackboneSpec(name="resnet18"), "back", kind)
        _, _, match = recognise(foreign, read_checkpoint(path), 32)
        assert match.whole and match.weights.keys() == original.keys()
        assert all(torch.equal(weight, original[key]) for key, weight in match.weights.items())


@pytest.mark.slow
def test_a_vit_goes_to_timm(bench: Any, tmp_path: Path) -> None:
    folder, encoder = run_folder(bench, tmp_path / "out", {"name": "vit_tiny", "patch_size": 8})
    code, printed = bench("export", folder, "--to", "timm", "--out", tmp_path / "vit.safetensors")
    assert code == 0 and "class_token=False" in printed
    theirs = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=8,
        class_token=False,
        global_pool="avg",
        fc_norm=False,
        num_classes=0,
    )
    theirs.load_state_dict(load_file(tmp_path / "vit.safetensors"))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(theirs.eval()(images), encoder.features(images), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_vit_with_a_class_token_goes_to_timm(bench: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=10)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    asked = ("--backbone", "vit_tiny", "--dataset", "digits", "--size", "32", "--out", tmp_path / "out")
    code, printed = bench("evaluate", tmp_path / "w.pth", *asked)
    assert code == 0 and "3 heads; features: class token" in printed, printed
    (path,) = (tmp_path / "out").glob("evaluated/w/*/record.json")
    code, printed = bench("export", path.parent, "--to", "timm", "--out", tmp_path / "vit.safetensors")
    options = "img_size=32, patch_size=16, num_classes=0, class_token=True, global_pool='token', fc_norm=False"
    assert code == 0 and f"timm.create_model('vit_tiny_patch16_224', {options})" in printed, printed
    again = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=16,
        class_token=True,
        global_pool="token",
        fc_norm=False,
        num_classes=0,
    )
    again.load_state_dict(load_file(tmp_path / "vit.safetensors"))
    theirs.reset_classifier(0)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again.eval()(images), theirs.eval()(images))


def test_networks_that_the_target_library_lacks_are_refused(bench: Any, tmp_path: Path) -> None:
    folder = bench.finished(tmp_path / "out", "random_init")
    for target, message in (
        ("torchvision", "torchvision's resnet18 has 64 channels, not 8"),
        ("tim", "did you mean"),
    ):
        code, printed = bench("export", folder, "--to", target, "--out", tmp_path / "x")
        assert code == 2 and message in printed
    code, printed = bench("export", tmp_path, "--to", "timm", "--out", tmp_path / "x")
    assert code == 2 and "not a run's folder" in printed


@pytest.mark.slow
@pytest.mark.parametrize("token", [None, "features"])
def test_a_vit_can_be_exported_for_any_number_of_images(token: Any) -> None:
    spec = BackboneSpec(name="vit_tiny", patch_size=8, width=32, depth=1, class_token=token)
    backbone = build_backbone(spec, 32)
    encoder = Encoder(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)).eval()
    shapes = {"images": {0: torch.export.Dim("batch")}}
    program = torch.export.export(encoder, (torch.zeros(2, 3, 32, 32),), dynamic_shapes=shapes)
    images = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(program.module()(images), encoder.features(images))


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(n) is None for n in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs onnx, onnxscript and onnxruntime: pip install 'cnn-jepa-bench[onnx]'",
)
@pytest.mark.parametrize("entry", ["ijepa"])
def test_an_onnx_graph_computes_the_same(bench: Any, tmp_path: Path, entry: str) -> None:
    import onnxruntime

    folder = bench.finished(tmp_path / "out", entry)
    encoder = load_encoder(folder, bench.records(tmp_path / "out")[entry])
    assert bench("export", folder, "--to", "onnx", "--out", tmp_path / "x.onnx")[0] == 0
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    for count in (1, 5):
        images = torch.randn(count, 3, 32, 32)
        (features,) = session.run(None, {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(features), encoder.features(images), rtol=1e-5, atol=1e-5)
