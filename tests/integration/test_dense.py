"""Dense protocols on drawn scenes: what training with labels adds to an untrained network, and nothing to constants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F

from benchmark.data.datasets import Dataset, load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.evaluation.protocols import score
from benchmark.evaluation.subject import Subject, probe_data
from methods.backbone_build import build_backbone
from methods.backbones import BackboneSpec
from methods.base import Encoder, EncoderInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
SIZE, EPOCHS, BATCH = 48, 12, 32
FROZEN = ("segmentation-v1", "segmentation-knn-v1", "depth-v1", "counting-v1")


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    return load_dataset(DatasetSpec(name="shapes-depth", size=SIZE, shapes_train=500, shapes_test=150), None)


class Constant(Encoder):
    """An encoder that knows nothing of the image."""

    def feature_map(self, images: Tensor) -> Tensor:
        return torch.ones_like(super().feature_map(images))

    def features(self, images: Tensor) -> Tensor:
        return torch.ones_like(super().features(images))


class Shuffled(Encoder):
    """An encoder whose cells are in another order in each image."""

    def feature_map(self, images: Tensor) -> Tensor:
        maps = super().feature_map(images)
        draw = torch.Generator().manual_seed(int(images[0].abs().sum()))
        cells = maps.shape[-1] * maps.shape[-2]
        order = torch.stack([torch.randperm(cells, generator=draw) for _ in maps])[:, None].expand(
            -1, maps.shape[1], -1
        )
        return maps.flatten(2).gather(2, order).view_as(maps)


@pytest.fixture(scope="module")
def scored(scenes: Dataset) -> dict[str, dict[str, float]]:
    """The scores of an untrained network, one that was trained on label maps, and what is made of that one."""
    data = probe_data(scenes, SIZE)
    torch.manual_seed(0)
    spec = BackboneSpec(name="resnet18", stem="small", width=8)
    untrained, trained = (build_backbone(spec, SIZE) for _ in range(2))
    trained.load_state_dict(untrained.state_dict())
    head = torch.nn.Conv2d(trained.dimension, 11, 1)
    optimizer = torch.optim.AdamW([*trained.parameters(), *head.parameters()], lr=3e-3)
    annotations = scenes.train.annotations
    assert annotations is not None and annotations.label_map is not None
    for epoch in range(EPOCHS):
        for indices in torch.randperm(len(data.train), generator=torch.Generator().manual_seed(epoch)).split(BATCH):
            logits = head(trained.feature_map(data.normalise(data.train.images.read(indices))))
            whole = F.interpolate(logits, (SIZE, SIZE), mode="bilinear", align_corners=False)
            loss = F.cross_entropy(whole, annotations.label_map(indices).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def scores(kind: Callable[..., Encoder], backbone: Any) -> dict[str, float]:
        encoder = kind(backbone, EncoderInfo("online", backbone.pooling, backbone.dimension)).requires_grad_(False)
        subject = Subject(
            encoder=encoder.eval(), data=data, device=torch.device("cpu"), dataset=scenes, seed=0, precision="32"
        )
        return {f"{name}/{key}": value for name in FROZEN for key, value in score(name, subject).items()}

    made = {"untrained": (Encoder, untrained), "trained": (Encoder, trained)}
    made |= {"constant": (Constant, trained), "shuffled": (Shuffled, trained)}
    return {name: scores(*how) for name, how in made.items()}


def test_a_supervised_encoder_is_well_above_an_untrained_one(scored: dict[str, dict[str, float]]) -> None:
    trained, untrained = scored["trained"], scored["untrained"]
    assert trained["segmentation-v1/miou"] > untrained["segmentation-v1/miou"] + 5
    assert trained["segmentation-v1/miou"] > trained["segmentation-v1/miou_floor"] + 10
    assert trained["segmentation-knn-v1/miou"] > untrained["segmentation-knn-v1/miou"] + 5
    assert trained["depth-v1/depth_rmse"] < 0.85 * trained["depth-v1/depth_rmse_floor"]
    assert trained["counting-v1/count_mae"] < 0.85 * trained["counting-v1/count_mae_floor"]


def test_constants_score_the_floor(scored: dict[str, dict[str, float]]) -> None:
    constant = scored["constant"]
    assert constant["segmentation-v1/miou"] == constant["segmentation-v1/miou_floor"]
    assert constant["segmentation-knn-v1/miou"] == pytest.approx(constant["segmentation-knn-v1/miou_floor"], abs=0.1)
    assert constant["depth-v1/depth_rmse"] == pytest.approx(constant["depth-v1/depth_rmse_floor"], rel=1e-5)
    assert constant["counting-v1/count_mae"] < 1.1 * constant["counting-v1/count_mae_floor"]


def test_shuffled_cells_fall_to_the_floor(scored: dict[str, dict[str, float]]) -> None:
    shuffled = scored["shuffled"]
    assert shuffled["segmentation-v1/miou"] < shuffled["segmentation-v1/miou_floor"] + 2
    assert shuffled["segmentation-knn-v1/miou"] < shuffled["segmentation-knn-v1/miou_floor"] + 2
    assert shuffled["depth-v1/depth_rmse"] > 0.95 * shuffled["depth-v1/depth_rmse_floor"]
