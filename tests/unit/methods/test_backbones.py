"""Backbones: slim ones of every width, with either stem."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from methods.backbones import BackboneSpec, build_backbone


@pytest.mark.parametrize("stem", ["small", "imagenet"])
@pytest.mark.parametrize("width", [8, 16, 32, 64])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_slim_resnets(name: str, width: int, stem: Literal["small", "imagenet"]) -> None:
    backbone = build_backbone(BackboneSpec(name=name, stem=stem, width=width), 64)
    cells = 8 if stem == "small" else 2
    assert backbone.feature_map(torch.randn(2, 3, 64, 64)).shape == (2, backbone.dimension, cells, cells)
    assert backbone.dimension == width * 8 * (4 if name == "resnet50" else 1)
