from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from benchmark.analysis.published import (
    DESCRIPTION,
    REPOSITORY,
    on_published_axes,
    published,
    published_of,
)

if TYPE_CHECKING:
    from pathlib import Path

SPARSE, DENSE = ({"method": {"encoder": name}} for name in ("sparse", "masked_dense"))


def test_published_ratios_are_those_of_the_published_hours() -> None:
    source = published()[REPOSITORY]
    ratios = {(run.method, run.backbone): round(source.ratio(run), 3) for run in source.runs}
    # 16.9%, 23.8% and 35.0% less time than SimCLR, VICReg and BYOL: the paper's "17 to 35%".
    saved = [round(100 * (1 - 1 / ratios[m, "ResNet-50"]), 1) for m in ("simclr", "vicreg", "byol")]
    assert saved == [16.9, 23.8, 35.0]
    assert ratios["ijepa", "ViT-B/14"] == 1.0 and ratios["ijepa", "ViT-S/14"] == 0.723


def test_published_numbers_stand_beside_like_networks_and_the_encoder_they_were_made_with(make_record: Any) -> None:
    def beside(*arguments: Any, source: str = REPOSITORY, **options: Any) -> list[float]:
        runs = published_of(make_record(*arguments, **options), source)
        return [round(published()[source].ratio(run), 2) for run in runs]

    assert beside("simclr") == [1.20]
    assert beside("simclr_vit", method="simclr", backbone="vit_tiny") == []
    assert beside("ijepa", backbone="vit_tiny") == [0.72, 1.00]
    assert beside("ijepa", backbone="vit_tiny", source=DESCRIPTION) == [1.20]
    assert beside("cnn_jepa", config=SPARSE) == [] and beside("cnn_jepa", config=DENSE) == [1.00]
    assert beside("supervised") == []


def test_published_axes_are_those_of_imagenet_100_at_224_pixels(make_record: Any) -> None:
    assert on_published_axes(make_record(dataset={"name": "ImageNet-100"}, config={"image_size": 224}))
    assert not on_published_axes(make_record(dataset={"name": "imagenet100"}, config={"image_size": 64}))
    assert not on_published_axes(make_record(config={"image_size": 224}))


def test_every_source_says_where_its_numbers_are_from_and_has_a_base() -> None:
    assert set(published()) == {REPOSITORY, DESCRIPTION}
    for source in published().values():
        assert source.citation and source.conditions
        assert source.ratio(source.base) == 1.0 and source.base.backbone == "ResNet-50"
    assert sum(len(source.runs) for source in published().values()) == 12


@pytest.mark.parametrize(
    "run", ["{linear_top1: 50}", "{linear_top1: 50, ratio: 1, device_hours: 2}", "{linear_top1: 150, ratio: 1}"]
)
def test_mistakes_in_the_file_are_errors(tmp_path: Path, run: str) -> None:
    path = tmp_path / "published.yaml"
    run = run.replace("{", "{method: byol, backbone: ResNet-50, ")
    path.write_text(f"x: {{label: x, citation: y, conditions: z, runs: [{run}]}}")
    with pytest.raises(ValidationError):
        published(path)
