"""Encoders that were trained elsewhere, on the leaderboard."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from layouts import FORMATS, layout
from published import PUBLISHED, encoder_weights, transformers_vit
from safetensors.torch import save_file

from benchmark.encoders.foreign import recognise
from benchmark.encoders.formats import Foreign
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = "resnet18,stem=small,width=8"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_backbone(BackboneSpec(name="resnet18", stem="small", width=8), 32).net
    torch.save(
        {"state_dict": {f"backbone.{name}": value for name, value in network.state_dict().items()}}, tmp_path / "w.ckpt"
    )
    return tmp_path / "w.ckpt"


@pytest.mark.slow
@pytest.mark.figures
def test_a_checkpoint_gets_a_row_without_a_cost(bench: Any, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("--backbone", NETWORK, "--dataset", "digits", "--out", out)
    code, printed = bench("evaluate", weights, *asked, "--name", "theirs")
    assert code == 0 and "tensors from state_dict, prefix 'backbone.'" in printed, printed
    assert "there already" in bench("evaluate", weights, *asked, "--name", "theirs", "--format", "solo-learn")[1]
    code, printed = bench("evaluate", weights, *asked, "--name", "theirs", "--protocols", "lowshot-v1")
    assert code == 0 and "lowshot10_top1" in printed, printed
    code, printed = bench("merge", out, "--out", tmp_path / "merged")
    assert code == 0 and "1 runs taken" in printed and "unverifiable" not in printed, printed
    code, printed = bench("report", out, "--out", tmp_path / "report")
    assert code == 0, printed
    (row,) = csv.DictReader((tmp_path / "report" / "leaderboard.csv").open())
    assert (row["entry"], row["method"], row["tags"]) == ("theirs", "external", "trained elsewhere")
    assert row["training_time_mean"] == row["device_hours_mean"] == ""
    assert 10 < float(row["linear_top1_mean"]) <= 100


def _score(bench: Any, out: Path, content: Any, kind: str, network: str) -> tuple[Any, str]:
    """The record of a checkpoint read in some format, in a results folder of its own; and the printed text."""
    out.mkdir()
    torch.save(content, out / "w.pth")
    asked = ("--backbone", network, "--dataset", "digits", "--format", kind, "--name", "theirs", "--out", out)
    code, printed = bench("evaluate", out / "w.pth", *asked)
    assert code == 0 and "there already" not in printed, printed
    record = bench.records(out)["theirs"]
    assert record.config["format"] == kind and record.metrics is not None
    return record, printed


TOKEN_VIT = "vit_tiny,width=32,depth=1,patch_size=4"


# Two formats are scored. The others have to give the same weights: then the record is there already.
# torchvision and CNN-JEPA's repository have no vision transformers under timm's names.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "scored", "without"), [(NETWORK, "cnn-jepa", ()), (TOKEN_VIT, "ijepa", ("torchvision", "cnn-jepa"))]
)
def test_the_same_weights_score_the_same_whatever_their_format(
    bench: Any, tmp_path: Path, network: str, scored: str, without: tuple[str, ...]
) -> None:
    torch.manual_seed(1)
    spec = BackboneSpec(name="resnet18", stem="small", width=8)
    if network == TOKEN_VIT:
        spec = BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=4, class_token="features")
    weights = build_backbone(spec, 32).net.state_dict()
    own, other = (_score(bench, tmp_path / k, layout(k, weights), k, network)[0] for k in ("bench", scored))
    assert other.metrics.scores.linear_top1 == own.metrics.scores.linear_top1
    assert other.metrics.scores.knn20 == own.metrics.scores.knn20
    assert other.metrics == own.metrics and other.key == own.key
    for kind in set(FORMATS) - {"bench", scored, *without}:
        torch.save(layout(kind, weights), tmp_path / "w.pth")
        asked = ("--backbone", network, "--dataset", "digits", "--format", kind, "--name", "theirs")
        code, printed = bench("evaluate", tmp_path / "w.pth", *asked, "--out", tmp_path / "bench")
        assert code == 0 and "there already" in printed, f"{kind}: {printed}"


@pytest.mark.slow
def test_a_class_token_is_found_and_scored(bench: Any, tmp_path: Path) -> None:
    spec = BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=4, class_token="features")
    torch.manual_seed(1)
    weights = build_backbone(spec, 32).net.state_dict()
    record, printed = _score(bench, tmp_path / "token", layout("dino", weights), "dino", TOKEN_VIT)
    assert "1 heads; features: class token" in printed
    assert record.metrics.scores.pooling == "class token"
    assert record.config["backbone"]["class_token"] == "features"
    pooled, _ = _score(bench, tmp_path / "p", layout("dino", weights), "dino", f"{TOKEN_VIT},class_token=beside")
    assert pooled.metrics.scores.pooling == "average of patch tokens"
    assert pooled.key != record.key and pooled.metrics.scores.knn20 != record.metrics.scores.knn20
    run = next((tmp_path / "token").glob("evaluated/theirs/seed-*"))
    code, printed = bench("evaluate", run, "--protocols", "lowshot-v1")
    assert code == 0 and "lowshot10_top1" in printed, printed


@pytest.mark.slow
def test_weights_that_are_all_zero_collapse(bench: Any, weights: Path, tmp_path: Path) -> None:
    content = torch.load(weights, weights_only=True)["state_dict"]
    torch.save({name: torch.zeros_like(value) for name, value in content.items()}, weights)
    code, printed = bench("evaluate", weights, "--backbone", NETWORK, "--dataset", "digits", "--out", tmp_path)
    assert code == 0 and "features collapsed: spread 0.000 (at least 0.05), RankMe 0.00" in printed, printed
    record = bench.records(tmp_path)["w"]
    assert record.status == "collapsed" and "features collapsed" in record.message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(bench: Any, weights: Path, tmp_path: Path, value: float) -> None:
    content = torch.load(weights, weights_only=True)
    content["state_dict"]["backbone.layer3.0.bn1.weight"][:3] = value
    torch.save(content, weights)
    code, printed = bench("evaluate", weights, "--backbone", NETWORK, "--dataset", "digits", "--out", tmp_path)
    assert code == 2 and not list(tmp_path.glob("evaluated/*"))
    assert "3 of the 32 values of backbone.layer3.0.bn1.weight are NaN or infinite" in printed


def _model(folder: Path) -> None:
    """A small ViT as transformers saves it."""
    settings = PUBLISHED["transformers ViT"][1]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 1, "patch_size": 8}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", **sizes}))
    tensors = transformers_vit(encoder_weights(settings))
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors")


@pytest.mark.slow
def test_a_models_folder_and_the_hubs_cache_need_no_backbone(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _model(tmp_path / "theirs")
    asked = ("--dataset", "digits", "--out", tmp_path / "out")
    code, printed = bench("evaluate", tmp_path / "theirs", *asked)
    assert code == 0 and "1 heads; features: class token" in printed, printed
    assert bench.records(tmp_path / "out")["theirs"].config["backbone"] == {
        **{"name": "vit_tiny", "stem": "imagenet", "width": 32, "depth": 2, "patch_size": 8},
        "class_token": "features",
    }
    # The same model in the hub's cache is the same encoder; nothing is fetched unless asked.
    cached = tmp_path / "hub" / "models--org--tiny"
    _model(cached / "snapshots" / ("ab" * 20))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("ab" * 20)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    code, printed = bench("evaluate", "hf://org/tiny", *asked, "--name", "theirs")
    assert code == 0 and "there already" in printed, printed
    code, printed = bench("evaluate", "hf://org/other", *asked)
    assert code == 2 and "hf://org/other: is not in the local cache; --download fetches it" in printed
    code, printed = bench("evaluate", "hf://org/tiny", tmp_path / "out", *asked)
    assert code == 2 and "hf://org/tiny: one model at a time" in printed


def test_a_page_saved_in_place_of_weights_is_named_before_any_data_is_read(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_text("<!DOCTYPE html><html>Sign in</html>")
    code, printed = bench("evaluate", tmp_path / "w.pth", "--backbone", NETWORK, "--dataset", "digits")
    assert code == 2 and "w.pth: is an HTML page, not a checkpoint" in printed


def test_heads_leave_an_encoder_whole_and_missing_tensors_do_not(weights: Path) -> None:
    foreign = Foreign(weights, BackboneSpec(name="resnet18", stem="small", width=8), "w")
    content = torch.load(weights, weights_only=True)["state_dict"]
    content |= {"backbone.prototypes.weight": torch.zeros(3, 8), "backbone.decoder_pred.bias": torch.zeros(3)}
    _, _, found = recognise(foreign, content, 32)
    assert found.whole and len(found.heads) == 2
    content["backbone.adapter.weight"] = torch.zeros(3)
    _, _, found = recognise(foreign, content, 32)
    assert not found.whole and not found.untrained  # refused, but with --allow-partial all of it is trained
    del content["backbone.bn1.weight"]
    _, _, found = recognise(foreign, content, 32)
    assert found.untrained and found.missing == ("bn1.weight",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset", "digits"), "a checkpoint needs --backbone"),
        (("--backbone", NETWORK), "needs --dataset"),
        (("--backbone", "resnet81", "--dataset", "digits"), "did you mean 'resnet18'"),
        (("--backbone", "resnet18,small", "--dataset", "digits"), "'small' is no setting"),
        (("--backbone", "resnet18,stam=small", "--dataset", "digits"), "did you mean 'stem'"),
        (("--backbone", "resnet18", "--dataset", "digits"), "does not fit resnet18"),
        (("--backbone", NETWORK, "--dataset", "digits", "--format", "solo"), "did you mean 'solo-learn'"),
        (("--backbone", NETWORK, "--dataset", "digits", "--name", "a/b"), "--name: 'a/b' names a folder"),
        (("--backbone", NETWORK, "--dataset", "digits", "--size", "33"), "not divisible"),
        (("--backbone", NETWORK, "--dataset", "digits", "--format", "cnn-jepa"), "there is 'backbone.'"),
        (("--backbone", f"{NETWORK},heads=2", "--dataset", "digits"), "'heads' does not apply to resnet18"),
    ],
)
def test_bad_input(bench: Any, weights: Path, tmp_path: Path, arguments: Any, message: str) -> None:
    code, printed = bench("evaluate", weights, *arguments, "--out", tmp_path / "out")
    assert code == 2 and message in printed, printed
