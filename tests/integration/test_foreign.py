"""Encoders that were trained elsewhere, on our leaderboard."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
import torch

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


def test_a_checkpoint_gets_a_row_of_its_own_without_a_cost(bench: Any, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("--backbone", NETWORK, "--dataset", "digits", "--out", out)
    code, printed = bench("evaluate", weights, *asked, "--name", "theirs")
    assert code == 0 and "tensors from state_dict, prefix 'backbone.'" in printed, printed
    assert "there already" in bench("evaluate", weights, *asked, "--name", "theirs", "--format", "solo-learn")[1]
    code, printed = bench("evaluate", weights, *asked, "--name", "theirs", "--protocols", "lowshot-v1")
    assert code == 0 and "lowshot10_top1" in printed, printed
    code, printed = bench("report", out, "--out", tmp_path / "report")
    assert code == 0, printed
    (row,) = csv.DictReader((tmp_path / "report" / "leaderboard.csv").open())
    assert (row["entry"], row["method"], row["tags"]) == ("theirs", "external", "trained elsewhere")
    assert row["training_time_mean"] == row["device_hours_mean"] == ""
    assert 10 < float(row["linear_top1_mean"]) <= 100


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
    ],
)
def test_bad_input(bench: Any, weights: Path, tmp_path: Path, arguments: Any, message: str) -> None:
    code, printed = bench("evaluate", weights, *arguments, "--out", tmp_path / "out")
    assert code == 2 and message in printed, printed
