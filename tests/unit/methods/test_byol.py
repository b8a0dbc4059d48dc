"""BYOL: which views are compared, and the target's batch norm."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


def test_each_view_predicts_the_other_views_target(lab: Any) -> None:
    method = lab.build("byol").eval()
    first, second = lab.batch(method).views
    with torch.no_grad():
        for target in (*method.target_backbone.parameters(), *method.target_projector.parameters()):
            target.mul_(1.1)  # as started, target and online network are equal, whichever is asked
        predicted = [method.predictor(method.projector(method.backbone.features(view))) for view in (first, second)]
        target = [method.target_projector(method.target_backbone.features(view)) for view in (second, first)]
        expected = -torch.stack([F.cosine_similarity(p, t).mean() for p, t in zip(predicted, target, strict=True)])
        got = method.loss(lab.batch(method), lab.step()).loss
    torch.testing.assert_close(got, expected.mean(), rtol=1e-5, atol=1e-6)


def test_the_target_gathers_its_own_statistics(lab: Any) -> None:
    method = lab.build("byol", "cnn")
    lab.train(method, 2)
    online, target = method.backbone.net.bn1, method.target_backbone.net.bn1
    assert int(online.num_batches_tracked) == int(target.num_batches_tracked) == 4
    assert not torch.equal(online.running_mean, target.running_mean)
