"""Encoders that were trained elsewhere, on the leaderboard."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
import torch
from layouts import FORMATS, layout

from methods.backbones import BackboneSpec, build_backbone

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
