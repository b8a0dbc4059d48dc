"""Scenes whose label, depth and number can be read from their colours, and encoders that see, mix up or ignore them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F

from benchmark.data.annotations import Annotations, Objects
from benchmark.data.datasets import Dataset, Split
from benchmark.data.images import ResidentImages
from benchmark.data.splits import Manifest
from benchmark.evaluation.subject import Subject, probe_data
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SIZE, CELL = 32, 4
PALETTE = torch.tensor([[0, 0, 0], [250, 10, 10], [10, 250, 10], [10, 10, 250]], dtype=torch.uint8)


class Backbone(torch.nn.Module):
    """Cells' mean colours as features, `(B, 3, 8, 8)`; or nothing; or the same in another order in each image."""

    pooling, dimension = "mean", 3

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def feature_map(self, images: Tensor) -> Tensor:
        maps = F.avg_pool2d(images, CELL)
        if self.how == "constant":
            return torch.ones_like(maps)
        if self.how == "shuffled":
            draw = torch.Generator().manual_seed(int(images[0].abs().sum()))
            order = torch.stack([torch.randperm(64, generator=draw) for _ in maps])[:, None].expand(-1, 3, -1)
            return maps.flatten(2).gather(2, order).view_as(maps)
        return maps

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        if self.how == "no stages":
            raise ValueError("no stages")
        return [F.avg_pool2d(images, 2), F.avg_pool2d(images, 4), self.feature_map(images)[:, :, ::2, ::2]]

    def features(self, images: Tensor) -> Tensor:
        return self.feature_map(images).mean((2, 3))


def blocks(count: int, seed: int) -> Tensor:
    """Label maps `(N, 32, 32)`: background, and one to three squares of one label on the cells' grid."""
    draw = torch.Generator().manual_seed(seed)
    maps = torch.zeros(count, SIZE, SIZE, dtype=torch.uint8)
    for image in maps:
        label = int(torch.randint(1, 4, (1,), generator=draw))
        for place in torch.randperm(4, generator=draw)[: int(torch.randint(1, 4, (1,), generator=draw))].tolist():
            top, left = 16 * (place // 2) + 4, 16 * (place % 2) + 4
            image[top : top + 8, left : left + 8] = label
    return maps


def split_of(count: int, seed: int) -> Split:
    maps = blocks(count, seed)
    pixels = PALETTE[maps.long()].permute(0, 3, 1, 2).contiguous()
    depth = maps.float().add(1.0)
    number = (maps > 0).flatten(1).sum(1) / 64

    def objects(indices: Tensor) -> list[Objects]:
        found = []
        for image in maps[indices]:
            corners = [(t, left) for t in (4, 20) for left in (4, 20) if image[t, left]]
            boxes = torch.tensor([[left, t, left + 8, t + 8] for t, left in corners], dtype=torch.float32)
            masks = torch.zeros(len(corners), SIZE, SIZE, dtype=torch.bool)
            for mask, (t, left) in zip(masks, corners, strict=True):
                mask[t : t + 8, left : left + 8] = True
            labels = torch.tensor([int(image[corner]) - 1 for corner in corners])
            found.append(Objects(boxes, labels, masks))
        return found

    annotations = Annotations(
        ("background", "red", "green", "blue"),
        lambda indices: maps[indices],
        lambda indices: depth[indices],
        ("red", "green", "blue"),
        objects,
    )
    labels = maps.flatten(1).amax(1).long() - 1
    return Split(ResidentImages(pixels), labels, {"count": number.float()}, annotations)


@pytest.fixture(scope="session")
def coloured() -> Dataset:
    train, validation, test = split_of(96, 0), split_of(24, 1), split_of(24, 2)
    manifest = Manifest("0" * 64, {"train": 96, "validation": 24, "test": 24})
    return Dataset("coloured", ("red", "green", "blue"), SIZE, train, train, validation, test, manifest)


@pytest.fixture
def seeing(coloured: Dataset) -> Callable[..., Subject]:
    """A subject whose encoder sees colours, or what `how` says."""

    def make(how: str = "colours", **changes: Any) -> Subject:
        backbone: Any = Backbone(how)
        return Subject(
            encoder=Encoder(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)),
            data=probe_data(coloured, SIZE),
            device=torch.device("cpu"),
            dataset=coloured,
            seed=0,
            precision="32",
            **changes,
        )

    return make


@pytest.fixture
def without() -> Callable[..., Subject]:
    """The subject on a dataset that lacks some annotations."""

    def make(subject: Subject, *names: str) -> Subject:
        def blind(split: Split) -> Split:
            assert split.annotations is not None
            return replace(split, annotations=replace(split.annotations, **dict.fromkeys(names)))

        parts = {name: blind(getattr(subject.data, name)) for name in ("train", "validation", "test")}
        return replace(subject, data=replace(subject.data, **parts))

    return make
