"""data2vec: targets and loss by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from methods.contract import make_batch, make_step


def test_the_loss_compares_hidden_patches_with_the_mean_of_the_last_blocks(lab: Any) -> None:
    method = lab.build("data2vec", "vit", blocks=2, beta=0.5)
    batch = make_batch(method)
    (images,) = batch.views
    with torch.no_grad():
        hidden = method.draw(len(images), make_step()).target.flatten(1)
        net = method.target_backbone.net
        first = net.blocks[0](net.patch_embed(images) + net.pos_embed)
        last = net.norm(net.blocks[1](first))
        target = F.layer_norm(sum(F.layer_norm(state, (32,)) for state in (first, last)) / 2, (32,))
        embedded = method.backbone.net.patch_embed(images)
        embedded[hidden] = method.mask_token
        seen = method.backbone.net.norm(method.backbone.net.blocks(embedded + net.pos_embed))
        difference = (method.head(seen) - target)[hidden].double().abs()
        expected = torch.where(difference < 0.5, difference.square(), difference - 0.25).mean()
        reached = method(batch, make_step()).loss
    assert 0.5 < hidden.float().mean() < 0.7
    assert reached.item() == pytest.approx(expected.item(), abs=1e-5)


def test_more_blocks_than_there_are_are_refused(lab: Any) -> None:
    with pytest.raises(ValueError, match="blocks is 3; the network has 2"):
        lab.build("data2vec", "vit", blocks=3)
