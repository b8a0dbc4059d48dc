"""The final scores of a run's encoders, with losses and validation points from its history, as records hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

from benchmark.evaluation.evaluate import evaluate, images_needed, ready
from benchmark.records.schema import Metrics, TrialMetrics, ValidationPoint
from methods.backbones import count_parameters

if TYPE_CHECKING:
    from benchmark.evaluation.subject import FrozenSubject, ProbeData
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.runs.probing import ProbeClock
    from methods.base import Encoder, Method

History = list[dict[str, Any]]


def final_metrics(
    spec: RunSpec,
    method: Method[Any],
    history: History,
    data: ProbeData,
    device: torch.device,
    probes: ProbeClock,
    before: FrozenSubject | None = None,
) -> tuple[Metrics | TrialMetrics, Encoder]:
    """The final scores of all encoders: a result's on the test split, a trial's on the validation split alone.

    Args:
        before: the primary encoder at the last evaluation point, if it had its final weights there.

    Returns:
        The scores, and the primary encoder as it was scored.
    """
    encoders = method.encoders()
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

    def scored(split: Literal["validation", "test"]) -> dict[str, Any]:
        scores = {}
        for number, (name, encoder) in enumerate(method.encoders().items(), 1):
            known = before if name == spec.settings.primary else None
            images = images_needed(encoder, data, split)
            if known is not None:
                images -= len(known.data.train) + len(known.data.validation)
            title = f"final scores of the {name} encoder ({number} of {len(encoders)})"
            with probes.probing(title, images) as watch:
                encoders[name] = ready(encoder, data, device, watch)
                scores[name] = evaluate(encoders[name], data, split, device, watch=watch, before=known)
        return scores

    metrics: Metrics | TrialMetrics
    if spec.purpose == "trial":
        metrics = TrialMetrics(encoders=scored("validation"), **common)
    else:
        metrics = Metrics(encoders=scored("test"), extra=_classifier_top1(method, data, device), **common)
    return metrics, encoders[spec.settings.primary]


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
