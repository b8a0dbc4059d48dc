"""What a run reached: its encoders' scores and what the history says, as records hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmark.evaluation.evaluate import evaluate
from benchmark.records.schema import Metrics, TrialMetrics, ValidationPoint
from methods.backbones import count_parameters

if TYPE_CHECKING:
    from benchmark.data.datasets import Split
    from benchmark.evaluation.subject import ProbeData
    from benchmark.experiment.run_spec import RunSpec
    from methods.base import Method

History = list[dict[str, Any]]


def result_metrics(
    spec: RunSpec, method: Method[Any], history: History, data: ProbeData, device: torch.device
) -> Metrics:
    """The final scores of all encoders on the test split."""
    scores = {name: evaluate(encoder, data, "test", device) for name, encoder in method.encoders().items()}
    extra = _classifier_top1(method, data, device)
    return Metrics(encoders=scores, extra=extra, **_common(spec, method, history))


def trial_metrics(
    spec: RunSpec, method: Method[Any], history: History, data: ProbeData, device: torch.device
) -> TrialMetrics:
    """The final scores of all encoders on the validation split; never reads the test split."""
    scores = {name: evaluate(encoder, data, "validation", device) for name, encoder in method.encoders().items()}
    return TrialMetrics(encoders=scores, **_common(spec, method, history))


def _common(spec: RunSpec, method: Method[Any], history: History) -> dict[str, Any]:
    losses = [line["loss"] for line in history if "loss" in line]
    return {
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


def _classifier_top1(method: Method[Any], data: ProbeData, device: torch.device) -> dict[str, float]:
    """The accuracy on the test split of a method's own classifier (supervised has one), in percent."""
    test: Split = data.test
    correct = 0
    method.eval()
    with torch.no_grad():
        for ids_B in torch.split(torch.arange(len(test.images)), 512):
            logits = method.classify(data.normalise(test.images.read(ids_B).to(device)))
            if logits is None:
                return {}
            correct += int((logits.argmax(1).cpu() == test.labels[ids_B]).sum())
    return {"classifier_top1": 100.0 * correct / len(test.images)}
