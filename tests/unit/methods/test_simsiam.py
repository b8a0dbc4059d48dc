"""SimSiam: what takes a gradient, and a predictor that keeps its rate."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from methods.contract import make_batch, make_step


def test_only_predictions_get_a_gradient(lab: Any) -> None:
    method = lab.build("simsiam", dimension=64, bottleneck=16)
    for parameter in method.predictor.parameters():
        parameter.data.zero_()
    method(make_batch(method), make_step()).loss.backward()
    # The predictor gives zeros, whatever comes in: projections could only learn as targets.
    assert all(not p.grad.any() for p in method.projector.parameters() if p.grad is not None)


@pytest.mark.parametrize("constant", [True, False])
def test_the_predictors_rate_stays(lab: Any, constant: bool) -> None:
    method = lab.build("simsiam", constant_predictor=constant)
    flags = {id(p): group.get("constant_lr", False) for group in method.parameter_groups() for p in group["params"]}
    assert {flags[id(p)] for p in method.predictor.parameters()} == {constant}
    assert not any(flags[id(p)] for p in method.projector.parameters() if p.requires_grad)
    assert torch.is_grad_enabled()
