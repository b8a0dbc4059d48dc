"""iBOT: its masks, and both centres."""

from __future__ import annotations

from typing import Any

import torch

from methods.contract import make_batch, make_step

_SMALL = {"prototypes": 24, "head_hidden": 32, "bottleneck": 16}


def test_views_have_masks_of_their_own(lab: Any) -> None:
    method = lab.build("ibot", "vit", **_SMALL)
    step, views = make_step(seed=1), make_batch(method).views
    assert not torch.equal(*(method._hidden(view, step) for view in views))


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
