"""Barlow Twins: its loss by hand, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from methods.contract import make_batch, make_step


def test_the_loss_is_that_of_the_correlation_matrix(lab: Any) -> None:
    settings = {"projector_hidden": 64, "output_dim": 24, "redundancy_weight": 0.03, "scale": 0.5}
    method = lab.build("barlow_twins", **settings)
    batch = make_batch(method, images=32)
    with torch.no_grad():
        first, second = (method.projector(method.backbone.features(view)).double().numpy() for view in batch.views)
        reached = lab.build("barlow_twins", **settings)(batch, make_step()).loss.item()
    crossed = np.corrcoef(first, second, rowvar=False)[:24, 24:]
    off = crossed - np.diag(np.diag(crossed))
    expected = 0.5 * (((np.diag(crossed) - 1) ** 2).sum() + 0.03 * (off**2).sum())
    assert reached == pytest.approx(expected, rel=1e-3)  # its normalisation adds 1e-5 to variances
