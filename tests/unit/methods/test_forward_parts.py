"""What a breakdown of a step tells apart within a method's forward pass."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from benchmark.training.measure import marked

# How often a step calls encoder, target encoder and heads.
CALLS = [
    ("simclr", "cnn", {}, (2, 0, 2)),
    ("simclr", "vit", {}, (2, 0, 2)),
    ("vicreg", "cnn", {}, (2, 0, 2)),
    ("byol", "cnn", {}, (2, 2, 6)),
    ("supervised", "cnn", {}, (1, 0, 1)),
    ("ijepa", "vit", {}, (1, 1, 1)),
    ("ijepa", "vit", {"projection_dim": 16, "cycle_weight": 1.0}, (1, 1, 4)),
    ("cnn_jepa", "cnn", {}, (1, 1, 1)),
    ("cnn_jepa", "cnn", {"encoder": "masked_dense"}, (1, 1, 1)),
    ("cnn_jepa", "cnn", {"projection_dim": 16, "cycle_weight": 1.0}, (1, 1, 4)),
]


@pytest.mark.parametrize(("name", "kind", "settings", "calls"), CALLS)
def test_encoders_and_heads_are_told_apart(
    lab: Any, name: str, kind: str, settings: dict[str, Any], calls: tuple[int, int, int]
) -> None:
    method = lab.build(name, kind, **settings)
    batch, marks = lab.batch(method), []
    with marked(method, marks.append):
        loss = method(batch, lab.step()).loss
    counts = Counter(marks)
    assert set(marks[::2]) == {"loss"} and "loss" not in marks[1::2]  # before each call, what lies between is marked
    assert tuple(counts[part] for part in ("encoder", "target_encoder", "head")) == calls
    assert not any("forward" in vars(module) or "features" in vars(module) for module in method.modules())
    assert torch.equal(loss, lab.build(name, kind, **settings)(batch, lab.step()).loss)


def test_a_call_that_fails_leaves_the_modules_as_they_were(lab: Any) -> None:
    method = lab.build("simclr", "cnn")
    with pytest.raises(ZeroDivisionError), marked(method, lambda part: 1 // 0):
        method(lab.batch(method), lab.step())
    assert not any("forward" in vars(module) for module in method.modules())
