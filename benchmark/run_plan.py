"""One run, resolved: what it is made of, and the key that says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.evaluation.protocols import PROTOCOLS
from benchmark.records import RULES_VERSION
from benchmark.run_key import run_key
from methods.config import FIRST_DEFAULT, plain

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from benchmark.cost.budget import Budget
    from benchmark.experiment import EntrySpec, Experiment
    from benchmark.records import Purpose
    from methods.backbones import BackboneSpec
    from methods.base import Method
    from methods.config import MethodConfig


@dataclass(frozen=True)
class RunPlan:
    """One entry with one seed under one budget, resolved and validated.

    Attributes:
        purpose: `result` is probed once on the test split at its end; a `trial` serves selection, and never reads it.
        tags: what a reader has to know about the row, beside what the configuration says.
    """

    experiment: Experiment
    entry: EntrySpec
    method: type[Method[Any]]
    settings: MethodConfig
    backbone: BackboneSpec
    budget: Budget
    seed: int
    image_size: int
    purpose: Purpose = "result"
    tags: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        """The resolved configuration as plain data, for `config.yaml` and the record."""
        experiment = self.experiment
        recipe = self.entry.recipe or experiment.recipe
        return {
            "experiment": experiment.name,
            "description": experiment.description,
            "entry": {"name": self.entry.name, "method": self.entry.method},
            "tags": [*([] if self.backbone == experiment.backbone else ["different backbone"]), *self.tags],
            "recipe": Path(recipe).name,
            "method": plain(self.settings),
            "backbone": plain(self.backbone),
            "dataset": plain(experiment.dataset),
            "image_size": self.image_size,
            "budget": {self.budget.kind: self.budget.limit},
            "batch_size": experiment.batch_size,
            "accumulate": experiment.accumulate,
            "precision": experiment.precision,
            "evaluation": {**plain(experiment.evaluation), "protocols": list(PROTOCOLS)},
            "lr": effective_lr(self.settings, experiment.batch_size),
            "reference": experiment.declared_reference,
            "targets": list(experiment.targets),
            "seed": self.seed,
        }

    def key(self, manifest: str) -> str:
        """Hash of everything that can change the result; fields at their default are left out."""
        return run_key(
            rules=RULES_VERSION,
            manifest=manifest,
            config=self.config(),
            method=self.entry.method,
            **self.key_settings(),
            protocols=PROTOCOLS,
            seed=self.seed,
        )

    def key_settings(self) -> dict[str, Any]:
        """What of the method's `settings` and the `backbone` is unlike its default: what the key knows of them."""
        return {"settings": _without_defaults(self.settings), "backbone": _without_defaults(self.backbone)}


def _without_defaults(config: BaseModel) -> Any:
    """The settings that differ from their class's defaults, nested ones too.

    Where a default has changed, its field names the first one (`FIRST_DEFAULT`), which is what older keys left out.
    """
    values = config.model_dump(mode="json")
    defaults = {
        name: _extra(field).get(FIRST_DEFAULT, field.get_default(call_default_factory=True))
        for name, field in type(config).model_fields.items()
        if not field.is_required()
    }
    dumped = type(config).model_construct(**defaults).model_dump(mode="json", warnings=False)
    return _difference(values, {name: dumped[name] for name in defaults if name in dumped})


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _difference(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        default = defaults.get(name)
        if name in defaults and value == default:
            continue
        both = isinstance(value, dict) and isinstance(default, dict)
        kept[name] = _difference(value, default) if both else value  # type: ignore[arg-type]
    return kept


def effective_lr(settings: MethodConfig, batch_size: int) -> float:
    """The learning rate in force after the recipe's rule."""
    factor = {"absolute": 1.0, "linear": batch_size / 256, "sqrt": batch_size**0.5}
    return settings.optimizer.lr * float(factor[settings.optimizer.lr_rule])
