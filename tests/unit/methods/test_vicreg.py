"""VICReg: the projector's shape, and how its three terms are weighted."""

from __future__ import annotations

from typing import Any

import pytest

_KEYS = ("invariance_weight", "variance_weight", "covariance_weight")


def test_the_projector_has_the_configured_layers(lab: Any) -> None:
    method = lab.build("vicreg", projector_layers=2, projector_hidden=24, output_dim=12)
    assert [tuple(p.shape) for p in method.projector.parameters() if p.ndim == 2] == [(24, 64), (12, 24)]


def test_the_loss_is_the_weighted_sum_of_its_terms(lab: Any) -> None:
    def loss(*weights: float) -> Any:
        method = lab.build("vicreg", **dict(zip(_KEYS, weights, strict=True)))
        return method.loss(lab.batch(method), lab.step()).loss.item()

    terms = [loss(1, 0, 0), loss(0, 1, 0), loss(0, 0, 1)]
    assert min(terms) > 0
    assert loss(2, 3, 5) == pytest.approx(2 * terms[0] + 3 * terms[1] + 5 * terms[2], rel=1e-4)
