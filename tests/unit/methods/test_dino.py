"""DINO: its centre, micro-batches, held prototypes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.contract import make_batch, make_step

_SMALL = {"prototypes": 24, "head_hidden": 32, "bottleneck": 16}


def test_the_centre_moves_after_the_step_to_the_teachers_mean(lab: Any) -> None:
    method = lab.build("dino", centre_momentum=0.75, **_SMALL)
    batch = make_batch(method)
    with torch.no_grad():
        # In training mode batch norm takes the batch's statistics, so that running ones do not matter.
        said = [method.target_head(method.target_backbone.features(view)) for view in batch.views[:2]]
    method(batch, make_step())
    assert not method.criterion.center.any()
    method.after_step(make_step())
    torch.testing.assert_close(method.criterion.center[0, 0], 0.25 * torch.stack(said).mean((0, 1)))


def test_two_micro_batches_move_the_centre_as_one(lab: Any) -> None:
    """On a ViT, whose features do not depend on the other images."""
    whole, parts = (lab.build("dino", "vit", **_SMALL) for _ in range(2))
    batch = make_batch(whole)
    whole(batch, make_step())
    for half in (slice(0, 4), slice(4, 8)):
        parts(type(batch)(tuple(v[half] for v in batch.views), batch.labels[half], batch.sample_ids[half]), make_step())
    for method in (whole, parts):
        method.after_step(make_step())
    torch.testing.assert_close(whole.criterion.center, parts.criterion.center)


def test_prototypes_are_held_at_the_beginning(lab: Any) -> None:
    method = lab.build("dino", freeze_prototypes=0.2, **_SMALL)
    for progress, held in ((0.1, True), (0.3, False)):
        method.zero_grad()
        method(make_batch(method), make_step(progress)).loss.backward()
        method.after_backward(make_step(progress))
        assert bool(method.head.prototypes.grad.any()) != held


def test_one_view_is_refused(lab: Any) -> None:
    with pytest.raises(ValueError, match="global_views is 3 of 2 views"):
        lab.build("dino", views=[{}, {}], global_views=3)
