"""One run, resolved: what it is made of, and the key that says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.errors import UserError
from benchmark.evaluation.protocols import PROTOCOLS
from benchmark.experiment.explain import explain
from benchmark.experiment.files import find_recipe, merge, read_recipe
from benchmark.experiment.spec import EntrySpec, Experiment
from benchmark.machine.devices import has_bfloat16
from benchmark.records.keys import run_key
from benchmark.records.schema import RULES_VERSION
from methods.backbones import BackboneSpec
from methods.config import FIRST_DEFAULT, MethodConfig, plain
from methods.registry import method_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from benchmark.cost.budget import Budget
    from benchmark.data.datasets import Dataset
    from benchmark.experiment.spec import EntrySpec, Experiment
    from benchmark.records.schema import Purpose
    from methods.backbones import BackboneSpec
    from methods.base import Method
    from methods.config import MethodConfig


@dataclass(frozen=True)
class RunSpec:
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


def resolve_precision(experiment: Experiment, device: torch.device) -> Experiment:
    """The experiment with a precision that says what is computed, in place of `auto`.

    It is part of every run's key and of the quality key: where two machines settle it differently, their rows are not
    ranked together.
    """
    if experiment.precision != "auto":
        return experiment
    return experiment.model_copy(update={"precision": "bf16" if has_bfloat16(device) else "32"})


@dataclass(frozen=True)
class Resolved:
    """An entry whose settings are read and valid."""

    entry: EntrySpec
    method: type[Method[Any]]
    settings: MethodConfig
    backbone: BackboneSpec


def resolve_entries(experiment: Experiment, source: Path) -> list[Resolved]:
    """Each entry with its recipe and overrides, before any data is read.

    Args:
        experiment: what is asked.
        source: the experiment's file; recipes may lie beside it.

    Raises:
        UserError: an entry's settings are wrong, or its method does not run on its backbone or with micro-batches.
    """
    return [_resolve(experiment, entry, source) for entry in experiment.entries]


def _resolve(experiment: Experiment, entry: EntrySpec, source: Path) -> Resolved:
    where = f"{source}: entry '{entry.name}'"
    try:
        method = method_class(entry.method)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    recipe = find_recipe(entry.recipe or experiment.recipe, entry.method, source.parent)
    settings = read_recipe(recipe, entry.method) if recipe else {}
    try:
        config = method.config_class.model_validate(merge(settings, entry.overrides))
    except ValidationError as error:
        raise UserError(explain(error, method.config_class, where)) from None
    backbone = entry.backbone or experiment.backbone
    try:
        method.check_backbone(backbone.kind)
        if backbone.elsewhere:
            raise ValueError(f"{backbone.elsewhere} is for encoders trained elsewhere; nothing is trained with it here")
        _check_accumulation(experiment, method, config)
    except ValueError as error:
        raise UserError(f"{where}, backbone {backbone.name}: {error}") from None
    return Resolved(entry, method, config, backbone)


def _check_accumulation(experiment: Experiment, method: type[Method[Any]], config: MethodConfig) -> None:
    """Refuses to cut a batch whose images the loss compares with each other."""
    if experiment.accumulate > 1 and method.compares_images(config):
        raise ValueError(
            f"accumulate is {experiment.accumulate}, but the loss compares all images of a batch with each other; set "
            "accumulate to 1, with a smaller batch_size or more devices where memory is short"
        )


def plan_runs(experiment: Experiment, entries: list[Resolved], image_size: int) -> list[RunSpec]:
    """All runs, interleaved: each budget's first seed of every entry, then the second (RULES 13).

    Raises:
        UserError: an entry does not fit the image size.
    """
    for resolved in entries:
        try:
            resolved.method.check(resolved.settings, resolved.backbone.grid(image_size))
            _check_views(resolved, image_size)
        except ValueError as error:
            raise UserError(f"entry '{resolved.entry.name}', backbone {resolved.backbone.name}: {error}") from None
    return [
        RunSpec(experiment, one.entry, one.method, one.settings, one.backbone, budget, seed, image_size)
        for budget in experiment.budget.rungs()
        for seed in experiment.seeds
        for one in entries
    ]


def _check_views(resolved: Resolved, image_size: int) -> None:
    """Refuses views that the method or its backbone cannot take."""
    method, views = resolved.method, resolved.settings.views
    if method.view_count is not None and len(views) != method.view_count:
        raise ValueError(f"views holds {len(views)}; {method.name} takes {method.view_count}")
    for number, view in enumerate(views):
        if view.size is None or view.size == image_size:
            continue
        if method.fixed_view_size or resolved.backbone.kind == "vit":
            raise ValueError(f"views.{number}.size is {view.size}; here it has to be the input size, {image_size}")
        resolved.backbone.grid(view.size)


def check_batch(experiment: Experiment, plans: Sequence[RunSpec], dataset: Dataset) -> None:
    """Refuses a batch that the training split cannot fill.

    Raises:
        UserError: says how many images there are.
    """
    trained = [len(dataset.trained_on(plan.method).images) for plan in plans if plan.method.trainable]
    smallest = min(trained, default=None)
    if smallest is not None and experiment.batch_size > smallest:
        raise UserError(
            f"batch_size is {experiment.batch_size}, but the training split of {dataset.name} has {smallest} images; "
            "expected at most that"
        )


def check_devices(experiment: Experiment, entries: Sequence[Resolved], kind: str, devices: int) -> None:
    """Refuses what cannot be shared among devices, before any process is started for them.

    Args:
        experiment: what is asked.
        entries: its entries, resolved.
        kind: `cpu` or `cuda`.
        devices: how many, on all machines together.

    Raises:
        UserError: the batch does not divide, or a recipe asks for what the devices cannot do together.
    """
    parts = devices * experiment.accumulate
    if experiment.batch_size % parts:
        raise UserError(
            f"batch_size is {experiment.batch_size}, which does not divide into {devices} devices x "
            f"{experiment.accumulate} micro-batches; the nearest that do: "
            f"{max(1, experiment.batch_size // parts) * parts} and {(experiment.batch_size // parts + 1) * parts}"
        )
    for one in entries:
        if devices > 1 and kind == "cpu" and one.settings.sync_batch_norm:
            raise UserError(
                f"entry '{one.entry.name}': sync_batch_norm is on, but torch synchronises batch norm on GPUs alone; "
                f"use one device, or --set {one.entry.name}.sync_batch_norm=false"
            )
