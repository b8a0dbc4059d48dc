"""A small untrained encoder on a few generated scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from benchmark.data.datasets import load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.evaluation.subject import Subject, probe_data
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.data.datasets import Dataset, Split


@pytest.fixture(scope="session")
def shapes() -> Dataset:
    return load_dataset(DatasetSpec(name="shapes", shapes_train=120, shapes_test=40), None)


@pytest.fixture
def subject(shapes: Dataset) -> Subject:
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSpec(name="resnet18", width=8), 32)
    encoder = Encoder(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)).eval()
    device = torch.device("cpu")
    return Subject(encoder=encoder, data=probe_data(shapes, 32), device=device, dataset=shapes, seed=0, precision="32")


@pytest.fixture
def separable(subject: Subject) -> Subject:
    """The subject with one-hot labels as features."""

    def one_hot(split: Split) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.nn.functional.one_hot(split.labels, 10).float() * 3, split.labels

    for name in ("train", "validation", "test"):
        subject.__dict__[name] = one_hot(getattr(subject.data, name))
    object.__setattr__(subject.encoder.info, "dimension", 10)
    return subject


@pytest.fixture
def assert_repeatable(subject: Subject) -> Callable[[Callable[[Subject], dict[str, float]]], None]:
    """Checks that a protocol gives the same scores twice, and leaves the encoder as it was."""

    def check(protocol: Callable[[Subject], dict[str, float]]) -> None:
        before = {name: value.clone() for name, value in subject.encoder.state_dict().items()}
        scores = protocol(subject)
        assert torch.tensor(list(scores.values())).isfinite().all()
        assert protocol(subject) == scores
        for name, value in subject.encoder.state_dict().items():
            assert torch.equal(value, before[name]), name

    return check


@pytest.fixture
def broken(subject: Subject) -> Subject:
    """The subject with a NaN among its encoder's weights."""
    with torch.no_grad():
        subject.encoder.backbone.net.conv1.weight[0] = torch.nan
    return subject
