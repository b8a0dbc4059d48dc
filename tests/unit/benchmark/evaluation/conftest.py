from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch

from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass
class Stack:
    """Images in memory, which remembers what was read."""

    pixels: Tensor
    reads: list[int]

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: Tensor) -> Tensor:
        self.reads += indices.tolist()
        return self.pixels[indices]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def stack() -> Callable[[Tensor], Stack]:
    return lambda pixels: Stack(pixels, [])


@pytest.fixture
def noise() -> Stack:
    pixels = torch.randint(0, 256, (33, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Stack(pixels, [])


@pytest.fixture
def make_encoder() -> Callable[..., Encoder]:
    def make(name: str = "resnet18", *, recalibrate: bool = False) -> Encoder:
        spec = (
            BackboneSpec(name=name, stem="small", width=8)
            if name == "resnet18"
            else BackboneSpec(name=name, width=32, depth=2, patch_size=8)
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            backbone = build_backbone(spec, 16)
        return Encoder(backbone, EncoderInfo("ema", backbone.pooling, backbone.dimension, recalibrate))

    return make


@pytest.fixture
def normalise() -> Callable[[Tensor], Tensor]:
    return lambda pixels: pixels.float() / 127.5 - 1.0


@pytest.fixture(scope="session")
def problem() -> Callable[..., tuple[Tensor, Tensor]]:
    def make(
        rows: int, *, seed: int = 0, classes: int = 6, dimension: int = 20, separation: float = 0.6
    ) -> tuple[Tensor, Tensor]:
        """Correlated, positive features of unlike scale, as a network's are."""
        fixed = torch.Generator().manual_seed(100)
        centres = torch.randn(classes, dimension, generator=fixed) * separation
        mixing = torch.randn(dimension, dimension, generator=fixed)
        scales = torch.logspace(-2, 2, dimension)
        draw = torch.Generator().manual_seed(seed)
        labels = torch.randint(classes, (rows,), generator=draw)
        latent = centres[labels] + torch.randn(rows, dimension, generator=draw)
        return (latent @ mixing).relu() * scales, labels

    return make
