"""MSN: its loss by hand, in float64; the masked view."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from methods.contract import make_batch, make_step

_SMALL = {"prototypes": 12, "head_hidden": 32, "output_dim": 16}


def test_the_loss_is_cross_entropy_minus_the_mean_entropy(lab: Any) -> None:
    method = lab.build("msn", "vit", regularisation=0.7, **_SMALL)
    batch = make_batch(method)
    with torch.no_grad():
        reached = lab.build("msn", "vit", regularisation=0.7, **_SMALL)(batch, make_step(seed=1)).loss.item()
        whole, masked, *focal = batch.views
        anchors = [method.head(method._masked(masked, make_step(seed=1)))]
        anchors += [method.head(method.backbone.features(view)) for view in focal]
        target = method.target_head(method.target_backbone.features(whole)).double()
    prototypes = F.normalize(method.prototypes.detach().double(), dim=1)
    assigned = [(F.normalize(a.double(), dim=1) @ prototypes.T / 0.1).softmax(1) for a in anchors]
    wanted = (F.normalize(target, dim=1) @ prototypes.T / 0.1).softmax(1) ** (1 / 0.25)
    wanted = wanted / wanted.sum(1, keepdim=True)
    wanted = wanted.T / wanted.sum()
    for _ in range(3):  # Sinkhorn
        wanted = wanted / wanted.sum(1, keepdim=True) / 12
        wanted = wanted / wanted.sum(0, keepdim=True) / 8
    wanted = (wanted * 8).T
    crossed = torch.stack([-(wanted * one.log()).sum(1).mean() for one in assigned]).mean()
    mean = torch.cat(assigned).mean(0)
    expected = crossed + 0.7 * (mean * mean.log()).sum() + 0.7 * torch.tensor(12.0).log()
    assert reached == pytest.approx(expected.item(), rel=1e-4)


def test_a_masked_view_loses_its_share_of_patches(lab: Any) -> None:
    method = lab.build("msn", "vit", mask_ratio=0.5, **_SMALL)
    counts: list[int] = []
    method.backbone.net.blocks[0].register_forward_pre_hook(lambda _, tokens: counts.append(tokens[0].shape[1]))
    method(make_batch(method), make_step())
    assert counts == [32, 16, 16, 16, 16]  # half of 64; four focal views of 16 px


def test_one_view_is_refused(lab: Any) -> None:
    with pytest.raises(ValueError, match="expected at least two"):
        lab.build("msn", "vit", views=[{}])
