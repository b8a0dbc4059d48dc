"""SimCLR: the projector's shape, and what the temperature does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch


def test_the_projector_has_the_configured_layers(lab: Any) -> None:
    method = lab.build("simclr", projector_layers=3, projector_norm=False, projector_hidden=24, output_dim=12)
    assert [tuple(p.shape) for p in method.projector.parameters() if p.ndim == 2] == [(24, 64), (24, 24), (12, 24)]
    assert not any(isinstance(module, torch.nn.BatchNorm1d) for module in method.projector.modules())


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_equal_projections_are_told_apart_by_chance_alone(lab: Any, temperature: float) -> None:
    """All similarities are 1: each of 16 views has 15 equally near others, at any temperature."""
    method = lab.build("simclr", temperature=temperature)
    with torch.no_grad():
        last = list(method.projector.parameters())[-2:]
        last[0].zero_()
        last[1].fill_(1.0)
    assert method.loss(lab.batch(method, size=8), lab.step()).loss.item() == pytest.approx(math.log(15), rel=1e-5)
