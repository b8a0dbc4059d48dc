"""Heads: prototypes against lightly's; the token predictor's output. I-JEPA's tests have the rest of it."""

from __future__ import annotations

import pytest
import torch
from lightly.models.modules.heads import DINOProjectionHead
from torch import nn

from methods.heads import PrototypeHead, TokenPredictor


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_head_is_lightlys(batch_norm: bool) -> None:
    theirs = DINOProjectionHead(12, 20, 8, 30, batch_norm=batch_norm)
    ours = PrototypeHead(12, 20, 8, 30, batch_norm=batch_norm)
    kinds = (nn.Linear, nn.BatchNorm1d)
    pairs = zip(*([m for m in head.layers if isinstance(m, kinds)] for head in (ours, theirs)), strict=True)
    for own, their in pairs:
        own.load_state_dict(their.state_dict())
    ours.prototypes.data.copy_(theirs.last_layer.weight_v)
    features = torch.randn(7, 12)
    torch.testing.assert_close(ours(features), theirs(features))
    assert ours(features.reshape(7, 1, 12)).shape == (7, 1, 30)


def test_a_predictor_may_have_another_output() -> None:
    predictor = TokenPredictor(12, 8, 1, 2, (3, 3), output=5)
    known, asked = torch.tensor([[0, 4]]), torch.tensor([[1, 2, 8]])
    assert predictor(torch.randn(1, 2, 12), known, asked).shape == (1, 3, 5)
    assert TokenPredictor(12, 8, 1, 2, (3, 3))(torch.randn(1, 2, 12), known, asked).shape == (1, 3, 12)
