"""The final scores of a run's encoders, with losses and validation points from its history, as records hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmark.evaluation.evaluate import evaluate
from benchmark.records.schema import Metrics, TrialMetrics, ValidationPoint
from methods.backbones import count_parameters

if TYPE_CHECKING:
    from benchmark.evaluation.subject import ProbeData
    from benchmark.experiment.run_spec import RunSpec
    from methods.base import Method

History = list[dict[str, Any]]


def final_metrics(
    spec: RunSpec, method: Method[Any], history: History, data: ProbeData, device: torch.device
) -> Metrics | TrialMetrics:
    """The final scores of all encoders: a result's on the test split, a trial's on the validation split alone."""
    losses = [line["loss"] for line in history if "loss" in line]
    common = {
        "primary": spec.settings.primary,
        "final_loss": losses[-1] if losses else None,
        "backbone_parameters": sum(parameter.numel() for parameter in method.backbone.parameters()),
        "trainable_parameters": count_parameters(method) if spec.method.trainable else 0,
        "validation": [
            ValidationPoint(**{name: line[name] for name in ValidationPoint.model_fields})
            for line in history
            if line["kind"] == "evaluation"
        ],
    }
    encoders = method.encoders().items()
    if spec.purpose == "trial":
        validation = {name: evaluate(encoder, data, "validation", device) for name, encoder in encoders}
        return TrialMetrics(encoders=validation, **common)
    test = {name: evaluate(encoder, data, "test", device) for name, encoder in encoders}
    return Metrics(encoders=test, extra=_classifier_top1(method, data, device), **common)


def _classifier_top1(method: Method[Any], data: ProbeData, device: torch.device) -> dict[str, float]:
    """The accuracy on the test split of a method's own classifier (supervised has one), in percent."""
    test, correct = data.test, 0
    method.eval()
    with torch.no_grad():
        for ids_B in torch.split(torch.arange(len(test.images)), 512):
            logits = method.classify(data.normalise(test.images.read(ids_B).to(device)))
            if logits is None:
                return {}
            correct += int((logits.argmax(1).cpu() == test.labels[ids_B]).sum())
    return {"classifier_top1": 100.0 * correct / len(test.images)}
