"""Masks on the backbone's grid: what cannot be drawn, shares of a batch, order of patches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from methods.contract import make_step
from methods.masked import RandomMaskConfig, own, require_vit, visible_and_hidden
from methods.registry import method_class

MASKED = ["mae", "data2vec", "ibot", "msn", "spark"]


@pytest.mark.parametrize("name", MASKED)
def test_masks_that_cannot_be_drawn_on_the_grid_are_refused(name: str) -> None:
    cls = method_class(name)
    cls.check(cls.config_class(), (8, 8))
    with pytest.raises(ValueError, match="on the 1x1 grid"):
        cls.check(cls.config_class(), (1, 1))


def test_random_masks_hide_the_ratio_in_every_image(lab: Any) -> None:
    method = lab.build("mae", "vit", mask_ratio=0.25)
    assert method.grid == (8, 8)
    masks = method.draw(6, make_step())
    assert (~masks.context_Bhw).flatten(1).sum(1).tolist() == [16] * 6
    assert RandomMaskConfig(mask_ratio=0.5).masking.strategy == "random"


def test_a_share_of_a_batch_has_the_masks_of_the_whole(lab: Any) -> None:
    method = lab.build("mae", "vit")
    whole = method.draw(6, make_step(seed=3)).context_Bhw
    step = replace(make_step(seed=3), start=2, batch_size=6)
    assert torch.equal(own(method.draw(3, step).context_Bhw, 3, step), whole[2:5])


def test_visible_and_hidden_patches_are_in_raster_order() -> None:
    visible_BN = torch.tensor([[False, True, True, False, True], [True, True, False, True, False]])
    visible, hidden = visible_and_hidden(visible_BN)
    assert visible.tolist() == [[1, 2, 4], [0, 1, 3]]
    assert hidden.tolist() == [[0, 3], [2, 4]]


def test_another_network_than_a_vit_is_refused_by_name(lab: Any) -> None:
    vit = lab.build("mae", "vit").backbone
    assert require_vit(vit, "mae") is vit
    with pytest.raises(ValueError, match=r"mae needs a ViT .*, not resnet18"):
        require_vit(lab.build("spark").backbone, "mae")
