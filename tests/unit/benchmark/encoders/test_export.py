"""Encoders in other libraries: the code that is printed computes the same features."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from benchmark.data.datasets import IMAGENET_MEAN, IMAGENET_STD
from benchmark.encoders import export as export_module
from benchmark.encoders.export import export
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"name": "resnet18", "stem": "small", "width": 16}
PATCHES_OF_4 = {"name": "vit_tiny", "patch_size": 4, "depth": 2}


def run(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the printed code leaves, run where the file is."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "settings"),
    [
        ("timm", SMALL),
        ("timm", {"name": "resnet50"}),
        ("timm", {"name": "resnet50", "stem": "small", "width": 16}),
        ("timm", {"name": "convnext_tiny"}),
        ("timm", PATCHES_OF_4),
        ("timm", {"name": "vit_tiny", "width": 64, "depth": 1, "patch_size": 8, "heads": 2}),
        ("timm", {"name": "vit_tiny", "depth": 1, "class_token": "beside", "design": "dinov2", "registers": 2}),
        ("timm", {"name": "vit_tiny", "depth": 1, "class_token": "features", "design": "dinov3", "registers": 2}),
        ("timm", {"name": "vit_tiny", "depth": 1, "class_token": "beside", "design": "dinov3", "registers": 2}),
        ("torchvision", {"name": "resnet18", "stem": "small_pad2"}),
        ("torchvision", {"name": "resnet50"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_the_printed_code_computes_the_same_features(
    stored_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, settings: dict[str, Any]
) -> None:
    _, encoder = stored_run(settings)
    names = run(export(tmp_path, target, tmp_path / "out.safetensors"), tmp_path, monkeypatch)
    images = torch.randn(2, 3, 32, 32)
    expected = encoder.features(images)
    torch.testing.assert_close(names["net"](images), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-4  # features that could differ
    assert names["mean"].flatten().tolist() == pytest.approx(list(IMAGENET_MEAN))
    assert names["std"].flatten().tolist() == pytest.approx(list(IMAGENET_STD))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"name": "resnet50"}, PATCHES_OF_4])
def test_timm_opens_the_folder_itself(
    stored_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    import timm

    _, encoder = stored_run(settings)
    names = run(export(tmp_path, "timm", tmp_path / "for-timm"), tmp_path, monkeypatch)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(names["net"](images), encoder.features(images), rtol=1e-5, atol=1e-5)
    data = timm.data.resolve_model_data_config(names["net"])
    assert (tuple(data["mean"]), tuple(data["std"]), data["crop_pct"]) == (IMAGENET_MEAN, IMAGENET_STD, 1.0)
    assert tuple(data["input_size"]) == (3, 32, 32)


def test_a_folder_that_timm_cannot_open_is_not_written(stored_run: Any, tmp_path: Path) -> None:
    stored_run(SMALL)
    with pytest.raises(UserError, match=r"makes no resnet18 with a small stem .* encoder\.safetensors"):
        export(tmp_path, "timm", tmp_path / "for-timm")
    assert not (tmp_path / "for-timm").exists()


def test_a_folder_of_other_things_is_left_alone(
    stored_run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored_run({"name": "resnet18"})
    out = tmp_path / "out"
    out.mkdir()
    export(tmp_path, "timm", out)
    assert not caplog.messages and sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors"]
    (out / "config.json").write_text("an older one")
    export(tmp_path, "timm", out)
    assert caplog.messages == [f"{out}: held an earlier export, which was replaced"]
    assert json.loads((out / "config.json").read_text())["architecture"] == "resnet18"
    (out / "notes.txt").touch()
    (out / "config.json").write_text("mine")
    with pytest.raises(UserError, match=r"out: holds what bench export did not write \(notes\.txt\); give --out a new"):
        export(tmp_path, "timm", out)
    (out / "notes.txt").unlink()
    for theirs in (b"theirs", save({"fc": torch.zeros(1)}, {"format": "pt"})):
        (out / "model.safetensors").write_bytes(theirs)
        with pytest.raises(UserError, match=r"did not write \(config\.json, model\.safetensors\)"):
            export(tmp_path, "timm", out)
        assert (out / "model.safetensors").read_bytes() == theirs and (out / "config.json").read_text() == "mine"


def test_the_file_holds_its_normalisation(stored_run: Any, tmp_path: Path) -> None:
    stored_run(SMALL)
    export(tmp_path / "record.json", "timm", tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["mean"]) == list(IMAGENET_MEAN) and json.loads(metadata["input_size"]) == [3, 32, 32]


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript")),
    reason="needs onnx and onnxscript: pip install 'cnn-jepa-bench[onnx]'",
)
@pytest.mark.parametrize("settings", [SMALL, {"name": "resnet50"}, PATCHES_OF_4])
def test_an_onnx_graph_computes_the_same(stored_run: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    import onnx

    _, encoder = stored_run(settings)
    out = tmp_path / "out.onnx"
    assert f"InferenceSession('{out.name}')" in export(tmp_path, "onnx", out)
    model = onnx.load(out)
    assert json.loads({p.key: p.value for p in model.metadata_props}["std"]) == list(IMAGENET_STD)
    images = torch.randn(3, 3, 32, 32)
    (features,) = _onnx_run(model, images)
    torch.testing.assert_close(torch.from_numpy(features), encoder.features(images), rtol=1e-5, atol=1e-5)


def _onnx_run(model: Any, images: torch.Tensor) -> Any:
    """By onnxruntime, or where there is none by the reference evaluator of onnx."""
    if find_spec("onnxruntime") is None:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(model).run(None, {"images": images.numpy()})
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"images": images.numpy()})


def test_onnx_is_asked_for_by_its_extra(stored_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored_run(SMALL)
    monkeypatch.setattr(export_module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnx and onnxscript \(pip install 'cnn-jepa-bench\[onnx\]'\)"):
        export(tmp_path, "onnx", tmp_path / "out.onnx")


@pytest.mark.parametrize(
    ("settings", "target", "message"),
    [
        (SMALL, "torchvision", "torchvision's resnet18 has 64 channels, not 16"),
        ({"name": "vit_tiny", "width": 32, "depth": 1}, "torchvision", "names the parameters of vit_tiny differently"),
        (SMALL, "tim", "did you mean 'timm'"),
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
