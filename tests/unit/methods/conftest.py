"""Tiny methods on tiny backbones, and a training loop of three lines."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Batch, Method, Step, Task
from methods.registry import method_class

_BACKBONES = {
    "cnn": BackboneSpec(name="resnet18", stem="small", width=8),
    "vit": BackboneSpec(name="vit_tiny", width=32, depth=2, patch_size=4),
}
_SMALL_HEADS: dict[str, dict[str, Any]] = {
    "byol": {"projector_hidden": 64, "predictor_hidden": 64, "output_dim": 32},
    "simclr": {"projector_hidden": 64, "output_dim": 32},
    "vicreg": {"projector_hidden": 64, "output_dim": 64},
    "ijepa": {"predictor_width": 32, "predictor_heads": 2, "predictor_depth": 2, "normalise": "layer"},
}


class Lab:
    """What the tests of this folder do with methods."""

    image_size = 32

    def build(self, name: str, kind: str = "cnn", seed: int = 0, **settings: Any) -> Method[Any]:
        """A method with small heads, in training mode, everything drawn from `seed`."""
        torch.manual_seed(seed)
        cls = method_class(name)
        config = cls.config_class.model_validate({**_SMALL_HEADS.get(name, {}), **settings})
        cls.check_backbone(kind)
        cls.check(config, _BACKBONES[kind].grid(self.image_size))
        backbone = build_backbone(_BACKBONES[kind], self.image_size)
        return cls(config, backbone, Task(image_size=self.image_size, num_classes=4)).train()

    def batch(self, method: Method[Any], size: int = 8, seed: int = 0) -> Batch:
        """Views of noise with an image's own low-frequency pattern, so that views of one image belong together."""
        generator = torch.Generator().manual_seed(seed)
        pattern = torch.randn(size, 3, 4, 4, generator=generator).repeat_interleave(8, 2).repeat_interleave(8, 3)
        views = tuple(
            pattern + 0.3 * torch.randn(size, 3, 32, 32, generator=generator) for _ in range(max(1, len(method.views)))
        )
        return Batch(views, torch.arange(size) % 4, torch.arange(size))

    def step(self, progress: float = 0.0, seed: int = 0) -> Step:
        """A step whose generator starts anew, so that two steps with one seed draw the same masks."""
        return Step(progress, 0, torch.Generator().manual_seed(seed), pace=0.01)

    def train(self, method: Method[Any], steps: int, lr: float = 2e-3) -> list[float]:
        """Losses of `steps` updates on one batch."""
        batch = self.batch(method)
        optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=lr)
        losses = []
        for index in range(steps):
            optimizer.zero_grad()
            loss = method(batch, self.step(index / steps)).loss
            loss.backward()
            optimizer.step()
            method.after_step(self.step(index / steps))
            losses.append(loss.item())
        return losses


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()
