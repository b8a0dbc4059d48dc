"""What makes a study what it is, as its storage keeps it; every command that resumes the study compares its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.experiment.files import merge
from benchmark.runs.claim import first_difference
from benchmark.sweep.spec import ParameterSpec
from methods.backbone_spec import BackboneSpec

if TYPE_CHECKING:
    from benchmark.data.datasets import Dataset
    from benchmark.experiment.entries import ResolvedEntry
    from benchmark.sweep.space import Space


@dataclass(frozen=True)
class Question:
    """All that makes a study what it is; its number of trials and its other entries are not part of it.

    Attributes:
        defaults: of those keys that may be missing in what an earlier version wrote.
    """

    content: dict[str, Any]
    defaults: dict[str, Any]

    def differs_from(self, before: dict[str, Any]) -> tuple[str, Any, Any] | None:
        """The first key whose value differs from an earlier question's, with both values; None where all are equal."""
        return first_difference(merge(self.defaults, before), self.content)


def question(space: Space, base: dict[str, Any], first: ResolvedEntry, precision: str, dataset: Dataset) -> Question:
    """The question of one entry's study.

    Args:
        first: the entry at the first value of every parameter.
    """
    fixed = {key: value for key, value in base.items() if key not in ("entries", "seeds", "reference", "targets")}
    content = {
        "experiment": {**fixed, "name": None, "description": None},
        "first": first.settings.model_dump(mode="json"),
        "backbone": first.backbone.model_dump(mode="json"),
        "precision": precision,
        "manifest": dataset.manifest.digest,
        "image_size": dataset.image_size,
        "parameters": {name: spec.model_dump(mode="json") for name, spec in space.parameters.items()},
        "sampler": [space.sweep.sampler, space.sweep.seed],
        "pruner": space.sweep.pruner,
        "seeds": list(space.sweep.seeds),
    }
    defaults = {
        "first": type(first.settings).model_construct().model_dump(mode="json", warnings=False),
        "backbone": BackboneSpec().model_dump(mode="json"),
        "parameters": {name: ParameterSpec.model_construct().model_dump(mode="json") for name in space.parameters},
    }
    return Question(json.loads(json.dumps(content, default=str)), json.loads(json.dumps(defaults, default=str)))
