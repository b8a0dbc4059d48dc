"""MoCo v3: its loss by hand, in float64; the momentum encoder; a frozen patch embedding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.contract import make_batch, make_step

_SMALL = {"projector_hidden": 64, "output_dim": 32}


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_the_loss_is_both_directions_infonce(lab: Any, kind: str) -> None:
    method = lab.build("moco_v3", kind, temperature=0.3, **_SMALL)
    batch = make_batch(method)
    with torch.no_grad():
        q = [method.predictor(method.projector(method.backbone.features(view))).double() for view in batch.views]
        k = [method.target_projector(method.target_backbone.features(view)).double() for view in batch.views]
        reached = lab.build("moco_v3", kind, temperature=0.3, **_SMALL)(batch, make_step()).loss.item()
    expected = 0.0
    for queries, keys in ((q[0], k[1]), (q[1], k[0])):
        for index, query in enumerate(queries):
            logits = [float(query @ key / query.norm() / key.norm() / 0.3) for key in keys]
            expected += 2 * 0.3 * (torch.tensor(logits).logsumexp(0).item() - logits[index]) / len(queries)
    assert reached == pytest.approx(expected, abs=1e-5)


def test_the_momentum_encoder_follows(lab: Any) -> None:
    method = lab.build("moco_v3", ema={"start": 0.75}, **_SMALL)
    for parameter in method.backbone.parameters():
        parameter.data += 1.0
    before = [p.clone() for p in method.target_backbone.parameters()]
    method.after_step(make_step(0.0))
    for old, new in zip(before, method.target_backbone.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)


@pytest.mark.parametrize("freeze", [True, False])
def test_a_vits_patch_embedding_stays_if_it_is_frozen(lab: Any, freeze: bool) -> None:
    method = lab.build("moco_v3", "vit", freeze_patches=freeze, **_SMALL)
    trained = {id(p) for group in method.parameter_groups() for p in group["params"]}
    assert all((id(p) in trained) != freeze for p in method.backbone.net.patch_embed.parameters())
