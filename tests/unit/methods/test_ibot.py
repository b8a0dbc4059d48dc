"""iBOT: both losses by hand, and both centres."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.contract import make_batch, make_step

_SMALL = {"prototypes": 24, "head_hidden": 32, "bottleneck": 16}


def test_the_loss_is_dinos_and_that_of_hidden_patches(lab: Any) -> None:
    method = lab.build("ibot", "vit", patch_weight=0.5, **_SMALL)
    method.image_loss.center.copy_(torch.randn(24))
    method.patch_loss.center.center.copy_(torch.randn(24))
    batch, step = make_batch(method), make_step(0.6, seed=1)
    with torch.no_grad():
        reached = method(batch, make_step(0.6, seed=1))
        images, patches = [], []
        masks = [method._hidden(view, step) for view in batch.views]
        teacher = [method.target_head(method.target_backbone.tokens(view)).double() for view in batch.views]
        pooled = [method.target_head(method.target_backbone.features(view)).double() for view in batch.views]
        student = []
        for number, view in enumerate(batch.views):
            hidden = masks[number].flatten(1)
            states = method.backbone.tokens(view, replace_BN=hidden, mask_token=method.mask_token)
            student.append(method.head(states.mean(1)).double())
            wanted = ((teacher[number] - method.patch_loss.center.center.double()) / 0.07).softmax(-1)
            entropy = -(wanted * (method.head(states).double() / 0.1).log_softmax(-1)).sum(-1)
            patches.append(((entropy * hidden).sum(1) / hidden.sum(1)).mean())
        for t, s in ((0, 1), (1, 0)):
            wanted = ((pooled[t] - method.image_loss.center[0].double()) / 0.07).softmax(1)
            images.append(-(wanted * (student[s] / 0.1).log_softmax(1)).sum(1).mean())
    assert not torch.equal(*masks)
    assert reached.logs["images"].item() == pytest.approx(torch.stack(images).mean().item(), rel=1e-5)
    assert reached.logs["patches"].item() == pytest.approx(torch.stack(patches).mean().item(), rel=1e-5)
    assert reached.loss.item() == pytest.approx((torch.stack(images).mean() + 0.5 * torch.stack(patches).mean()).item())


def test_both_centres_move_after_the_step(lab: Any) -> None:
    method = lab.build("ibot", "vit", centre_momentum=0.75, **_SMALL)
    batch = make_batch(method)
    with torch.no_grad():
        images = [method.target_head(method.target_backbone.features(view)) for view in batch.views]
        patches = [method.target_head(method.target_backbone.tokens(view)) for view in batch.views]
    method(batch, make_step())
    assert not method.image_loss.center.any() and not method.patch_loss.center.center.any()
    method.after_step(make_step())
    torch.testing.assert_close(method.image_loss.center.flatten(), 0.25 * torch.stack(images).mean((0, 1)))
    torch.testing.assert_close(method.patch_loss.center.center.flatten(), 0.25 * torch.stack(patches).mean((0, 1, 2)))
