"""Supervised training: cross-entropy, its own accuracy, its own classifier."""

from __future__ import annotations

from typing import Any

import pytest
import torch


def _always_class_one(lab: Any, **settings: Any) -> Any:
    method = lab.build("supervised", **settings)
    with torch.no_grad():
        method.classifier.weight.zero_()
        method.classifier.bias.copy_(torch.tensor([0.0, 5.0, 0.0, 0.0]))
    return method


@pytest.mark.parametrize("smoothing", [0.0, 0.4])
def test_loss_and_accuracy(lab: Any, smoothing: float) -> None:
    method = _always_class_one(lab, label_smoothing=smoothing)
    output = method(lab.batch(method, size=8), lab.step())
    # Every image is called class 1; labels are 0 1 2 3 0 1 2 3.
    assert output.logs["accuracy"].item() == 25.0
    scores = torch.tensor([0.0, 5.0, 0.0, 0.0], dtype=torch.float64)
    # Labels are balanced, so that spreading a part of each over all classes changes nothing on average.
    expected = scores.exp().sum().log() - 5.0 / 4
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_classifies_with_the_classifier_that_it_trains(lab: Any) -> None:
    method = _always_class_one(lab)
    logits = method.classify(torch.randn(3, 3, 32, 32))
    assert logits.tolist() == [[0.0, 5.0, 0.0, 0.0]] * 3
    assert method.reads_labels
