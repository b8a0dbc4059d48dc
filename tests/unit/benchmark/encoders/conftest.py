"""A small network whose weights are looked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec


@pytest.fixture(scope="package")
def network() -> Any:
    torch.manual_seed(0)
    return build_backbone(BackboneSpec(name="resnet18", width=8), 64).net
