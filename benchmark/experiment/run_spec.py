"""One run, resolved: what it is made of, the key that says so, and the one function that plans runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError
from benchmark.evaluation.protocols import PROTOCOLS
from benchmark.experiment.entries import ResolvedEntry, check_sizes
from benchmark.machine.devices import has_bfloat16
from benchmark.records.folder import run_folder
from benchmark.records.keys import run_key, step_key
from benchmark.records.schema import RULES_VERSION, Purpose
from methods.config import FIRST_DEFAULT, MethodConfig, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pydantic import BaseModel

    from benchmark.cost.budget import Budget
    from benchmark.data.datasets import Dataset
    from benchmark.experiment.spec import EntrySpec, Experiment
    from benchmark.records.cost import StepCost
    from methods.backbone_spec import BackboneSpec
    from methods.base import Method


@dataclass(frozen=True)
class RunSpec:
    """One entry with one seed under one budget, resolved and validated."""

    experiment: Experiment
    entry: EntrySpec
    method: type[Method[Any]]
    settings: MethodConfig
    backbone: BackboneSpec
    budget: Budget
    seed: int
    image_size: int
    manifest: str = ""
    purpose: Purpose = "result"  # scored once on the test split, at its end; a `trial`, for selection, never reads it
    tags: tuple[str, ...] = ()  # what a reader has to know about the row beyond the configuration

    def config(self) -> dict[str, Any]:
        """The resolved configuration as plain data, for `config.yaml` and the record."""
        experiment = self.experiment
        recipe = self.entry.recipe or experiment.recipe
        acceleration = experiment.acceleration.model_dump(exclude_defaults=True)
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
            "budget": self.budget.data(),
            "batch_size": experiment.batch_size,
            "accumulate": experiment.accumulate,
            "precision": experiment.precision,
            "evaluation": {**plain(experiment.evaluation), "protocols": list(PROTOCOLS)},
            "lr": effective_lr(self.settings, experiment.batch_size),
            "reference": experiment.declared_reference,
            "targets": list(experiment.targets),
            "seed": self.seed,
            **({"acceleration": acceleration} if acceleration else {}),
        }

    @cached_property
    def key(self) -> str:
        """Hash of everything that can change the result; fields at their default are left out."""
        return run_key(
            rules=RULES_VERSION,
            manifest=self.manifest,
            config=self.config(),
            method=self.entry.method,
            **self.key_settings(),
            protocols=PROTOCOLS,
            seed=self.seed,
        )

    @cached_property
    def step_key(self) -> str:
        """Hash of everything that can change the cost of a training step."""
        parts = self.key_settings()
        return step_key(manifest=self.manifest, config=self.config(), method=self.entry.method, **parts)

    def folder(self, out: Path) -> Path:
        """Where the run's files are, below a results folder."""
        return run_folder(out, self.experiment.name, self.entry.name, self.seed, self.key)

    def key_settings(self) -> dict[str, Any]:
        """What of the method's `settings` and the `backbone` is unlike its default: what the key knows of them."""
        return {"settings": _without_defaults(self.settings), "backbone": _without_defaults(self.backbone)}


def _without_defaults(config: BaseModel) -> Any:
    """The settings that differ from their class's first defaults (`FIRST_DEFAULT`: older keys), nested ones too."""
    values = config.model_dump(mode="json")
    defaults: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        if not field.is_required():
            extra: Any = field.json_schema_extra or {}
            defaults[name] = extra.get(FIRST_DEFAULT, field.get_default(call_default_factory=True))
    dumped = type(config).model_construct(**defaults).model_dump(mode="json", warnings=False)
    return _difference(values, {name: dumped[name] for name in defaults if name in dumped})


def _difference(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        default = defaults.get(name)
        if name not in defaults or value != default:
            both = isinstance(value, dict) and isinstance(default, dict)
            kept[name] = _difference(value, default) if both else value  # type: ignore[arg-type]
    return kept


def effective_lr(settings: MethodConfig, batch_size: int) -> float:
    """The learning rate in force after the recipe's rule."""
    factor = {"absolute": 1.0, "linear": batch_size / 256, "sqrt": batch_size**0.5}
    return settings.optimizer.lr * float(factor[settings.optimizer.lr_rule])


def resolve_precision(experiment: Experiment, device: torch.device) -> Experiment:
    """The experiment with a precision that says what is computed, in place of `auto`."""
    # Keys of runs and the quality key have it: rows of machines that settle it differently are not ranked together.
    if experiment.precision != "auto":
        return experiment
    return experiment.model_copy(update={"precision": "bf16" if has_bfloat16(device) else "32"})


def plan_runs(
    experiment: Experiment, entries: Sequence[ResolvedEntry], dataset: Dataset, device: torch.device
) -> list[RunSpec]:
    """All runs of an experiment on a dataset and a device, checked.

    Under a calibrated budget they have neither steps nor a key before they are `priced`.

    Raises:
        UserError: an entry does not fit the image size, or the training split cannot fill a batch.
    """
    experiment = resolve_precision(experiment, device)
    specs = run_specs(experiment, entries, dataset.image_size, dataset.manifest.digest)
    trained = [len(dataset.trained_on(spec.method).images) for spec in specs if spec.method.trainable]
    if trained and experiment.batch_size > min(trained):
        raise UserError(
            f"batch_size is {experiment.batch_size}, but the training split of {dataset.name} has {min(trained)} "
            "images; expected at most that"
        )
    return specs


def priced(specs: Sequence[RunSpec], cost: StepCost | None) -> list[RunSpec]:
    """The runs with the steps that their calibrated budgets allow by a step-cost record; without one, as they are.

    Raises:
        UserError: the record has no price for an entry that trains.
    """

    def with_steps(spec: RunSpec) -> RunSpec:
        if cost is None or not spec.budget.is_calibrated:
            return spec
        key = spec.step_key if spec.method.trainable else None
        if key is not None and key not in cost.prices:
            raise UserError(f"step cost {cost.key[:8]} has no price for {spec.entry.name}")
        return replace(spec, budget=spec.budget.calibrated(cost, key))

    return [with_steps(spec) for spec in specs]


def run_specs(
    experiment: Experiment, entries: Sequence[ResolvedEntry], image_size: int, manifest: str = ""
) -> list[RunSpec]:
    """All runs, interleaved: each budget's first seed of every entry, then the second (RULES 13); see `check_sizes`."""
    check_sizes(entries, image_size)
    return [
        RunSpec(experiment, each.entry, each.method, each.settings, each.backbone, budget, seed, image_size, manifest)
        for budget in experiment.budget.rungs()
        for seed in experiment.seeds
        for each in entries
    ]
