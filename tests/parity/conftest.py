"""Methods at a size at which a reference in float64 is instant, and solo-learn's functions where they are installed."""

from __future__ import annotations

import importlib.util
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import torch

from methods.backbones import BackboneSpec, build_backbone
from methods.base import Batch, Method, Step, Task
from methods.registry import method_class


class Setup:
    """A method with a tiny backbone in training mode, a batch for it, and a step."""

    def build(self, name: str, **settings: Any) -> Method[Any]:
        torch.manual_seed(0)
        cls = method_class(name)
        spec = BackboneSpec(name="resnet18", stem="small", width=8)
        if cls.backbone_kinds == ("vit",):
            spec = BackboneSpec(name="vit_tiny", width=32, depth=2, patch_size=4)
        config = cls.config_class.model_validate(settings)
        return cls(config, build_backbone(spec, 32), Task(image_size=32, num_classes=4)).train()

    def batch(self, views: int) -> Batch:
        generator = torch.Generator().manual_seed(1)
        images = tuple(torch.randn(6, 3, 32, 32, generator=generator) for _ in range(views))
        return Batch(images, torch.arange(6) % 4, torch.arange(6))

    def step(self, progress: float = 0.0) -> Step:
        return Step(progress, 0, torch.Generator().manual_seed(2))


@pytest.fixture(scope="session")
def setup() -> Setup:
    return Setup()


def _solo_learn() -> Path | None:
    """The folder that holds `solo/`: named by the environment, or where the distribution is installed."""
    if named := os.environ.get("SOLO_LEARN_PATH"):
        return Path(named)
    try:
        return Path(str(distribution("solo-learn").locate_file("")))
    except PackageNotFoundError:
        return None


@pytest.fixture(scope="session")
def solo_losses() -> dict[str, Any]:
    """solo-learn's modules `byol`, `simclr`, `vicreg`, past the package's `__init__`, which needs an old torch."""
    root = _solo_learn()
    if root is None:
        pytest.skip("solo-learn is not installed: `pip install --no-deps solo-learn==1.0.2`, or set SOLO_LEARN_PATH")
    modules = {}
    for name in ("byol", "simclr", "vicreg"):
        path = root / "solo" / "losses" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"solo_losses_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    return modules
