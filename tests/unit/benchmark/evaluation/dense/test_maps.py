"""Feature maps, crops and interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F

from benchmark.data.views.augment import center_view
from benchmark.evaluation.dense import maps
from benchmark.evaluation.dense.maps import (
    at_pixels,
    cropped,
    feature_maps,
    rows_at_once,
    stage_maps,
    statistics,
    upsampled,
)
from benchmark.evaluation.dense.store import Store
from benchmark.evaluation.features import NonFiniteError
from benchmark.evaluation.protocols import NotApplicableError
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.evaluation.subject import Subject


def test_feature_maps_are_the_encoders_in_order(seeing: Callable[..., Subject], monkeypatch: Any) -> None:
    monkeypatch.setattr(maps, "batch_for", lambda _: 7)
    seen: list[int] = []
    subject = seeing(watch=lambda _, images: seen.append(images))
    store = feature_maps(subject, subject.data.test)
    images = subject.data.normalise(subject.data.test.images.read(torch.arange(24)))
    assert torch.equal(store.rows, F.avg_pool2d(images, 4))
    assert seen == [7, 7, 7, 3]


def test_maps_that_are_not_finite_are_an_error(seeing: Callable[..., Subject]) -> None:
    subject = seeing()
    with pytest.raises(NonFiniteError, match="feature maps: not finite"):
        feature_maps(subject, subject.data.test, lambda _, images: images / 0.0)


def test_stages_are_brought_to_the_grid_of_the_last_but_one() -> None:
    backbone = build_backbone(BackboneSpec(name="resnet18", stem="small", width=8), 32)
    encoder = Encoder(backbone, EncoderInfo("online", "mean", backbone.dimension)).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        joined, stages = stage_maps(encoder, images), backbone.feature_maps(images)
    assert joined.shape == (2, 8 + 16 + 32 + 64, *stages[2].shape[-2:])
    assert torch.allclose(joined[:, :8].mean((2, 3)), stages[0].mean((2, 3)), atol=1e-5)
    assert torch.equal(joined[:, 24:56], stages[2])


def test_a_vit_has_no_stages() -> None:
    backbone = build_backbone(BackboneSpec(name="vit_tiny", width=32, depth=1, patch_size=8), 32)
    encoder = Encoder(backbone, EncoderInfo("online", "mean", 32))
    with pytest.raises(NotApplicableError, match="needs the stages of a CNN"):
        stage_maps(encoder, torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(("side", "size"), [(256, 224), (37, 32), (34, 33), (32, 32)])
def test_maps_are_cropped_as_images_are(side: int, size: int) -> None:
    image = torch.arange(side).to(torch.uint8).expand(1, 3, side, side).contiguous()
    view = center_view(image, size, (0.0,) * 3, (1.0,) * 3)
    assert torch.equal((view[:, 0] * 255).round().to(torch.uint8), cropped(image[:, 0], size))


def test_features_at_pixels_are_those_of_the_interpolated_map() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(3, 5, 4, 4, generator=draw)
    pixels = torch.randint(18, (3, 40, 2), generator=draw)
    whole = upsampled(features, 18)
    expected = torch.stack([whole[i][:, pixels[i, :, 1], pixels[i, :, 0]].T for i in range(3)])
    assert torch.allclose(at_pixels(features, pixels, 18), expected, atol=1e-5)


def test_memory_at_full_resolution_is_bounded() -> None:
    assert rows_at_once(11, 64) == 64
    assert rows_at_once(151, 512) * 151 * 512**2 * 4 <= maps.WORK_BYTES * 2
    assert rows_at_once(10_000, 4096) == 1


def test_statistics_are_those_of_batch_norm_over_all_cells() -> None:
    values = torch.randn(300, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 3 + 5
    values[:, 1] = 7.0
    mean, deviation = statistics(Store(300, [values]))
    assert torch.allclose(mean.float(), values.mean((0, 2, 3)))
    expected = values.transpose(0, 1).flatten(1).std(1, unbiased=False)
    assert torch.allclose(deviation.float()[[0, 2]], expected[[0, 2]])
    assert deviation[1] == 1.0  # a constant channel's rounding is not blown up


def test_statistics_may_be_of_some_cells_alone() -> None:
    values = torch.randn(300, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    counts = torch.rand(300, 2, 2, generator=torch.Generator().manual_seed(2)) < 0.3
    mean, deviation = statistics(Store(300, [values]), lambda indices: counts[indices])
    chosen = values.permute(0, 2, 3, 1)[counts]
    assert torch.allclose(mean.float(), chosen.mean(0), atol=1e-6)
    assert torch.allclose(deviation.float(), chosen.std(0, unbiased=False), atol=1e-6)
