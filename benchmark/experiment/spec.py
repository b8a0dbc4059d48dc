"""An experiment and its parts, read from YAML and overrides, and validated. Imports no torch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from benchmark.cost.budget import BudgetSpec, parse_budget
from benchmark.data.registry import check_classified
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError
from benchmark.evaluation.protocols import FURTHER, PROTOCOLS, TRANSFER
from benchmark.experiment.acceleration_spec import AccelerationSpec
from benchmark.experiment.cluster_spec import ClusterSpec
from benchmark.experiment.explain import validate
from benchmark.experiment.files import apply_setting, find_experiment, find_recipe, read_recipe, read_yaml
from benchmark.files.parse import shortened
from methods.backbone_spec import BackboneSpec
from methods.config import Config, Count, nearest
from methods.registry import method_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_NAME = 100
_RESERVED = (
    *("costs", "jobs", "report", "tracking", "experiment.yaml", "study.json", "study.db", "trials.csv"),
    *("images.json.gz", "signed.sha256", "signed.sha256.sig"),
)
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # names of Windows


def check_name(value: str) -> str:
    """A name; raises a `ValueError` where a folder of results cannot have it, on any file system."""
    if len(value) > _LONGEST_NAME:
        raise ValueError(f"'{shortened(value)}' names a folder; expected at most {_LONGEST_NAME} characters")
    if not _NAME.fullmatch(value) or value.endswith("."):
        raise ValueError(
            f"'{value}' names a folder; letters, digits, '.', '_' and '-' only, a letter or digit first, no '.' last"
        )
    if _DEVICES.fullmatch(value):
        raise ValueError(f"'{value}' names a folder, which Windows keeps for a device; choose another")
    if value.lower() in _RESERVED:
        raise ValueError(f"'{value}' is a name that results folders use themselves; choose another")
    return value


def check_parts(batch_size: int, parts: int, what: str) -> None:
    """Refuses a batch that does not divide into equal parts.

    Raises:
        ValueError: names the nearest that do.
    """
    if batch_size % parts:
        below = batch_size // parts * parts
        nearest_two = f"{below} and {below + parts}" if below else str(parts)
        raise ValueError(f"batch_size is {batch_size}, which does not divide into {what}; the nearest: {nearest_two}")


class EntrySpec(Config):
    """A line of the comparison.

    Attributes:
        name: of folders, rows and colours; defaults to the method.
        method: a registered method.
        backbone: replaces the experiment's; without a `name`, the experiment's with these keys changed.
        recipe: replaces the experiment's.
        overrides: settings that replace the recipe's.
    """

    method: str
    name: str = ""
    backbone: BackboneSpec | None = None
    recipe: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_defaults_to_method(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"method": data}
        if isinstance(data, dict) and data.get("name") is None and "method" in data:
            data = {**data, "name": data["method"]}
        return data

    @field_validator("method")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in method_names():
            raise ValueError(f"unknown method '{value}'; {nearest(value, method_names())}")
        return value

    _named = field_validator("name")(check_name)


class EvaluationSpec(Config):
    """How encoders are probed.

    Attributes:
        points: how many times during training, evenly in progress, the last at its end; on the validation split.
        images: training images that the probes during training learn from; None takes all. The final probes take all.
        further: protocols beyond those that score every run; they run after all runs. See docs/protocols.md.
    """

    points: Annotated[int, Field(ge=1, le=100)] = 5
    images: Annotated[int, Field(ge=100)] | None = None
    further: tuple[str, ...] = ()

    @field_validator("further")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name in PROTOCOLS:
                raise ValueError(f"{name} scores every run anyway; choices: {', '.join(sorted(FURTHER))}")
            if name not in FURTHER:
                raise ValueError(f"unknown protocol '{name}'; {nearest(name, FURTHER)}")
            if name == TRANSFER:
                raise ValueError(
                    f"{TRANSFER} needs another dataset: bench evaluate RESULTS --protocols {TRANSFER} --dataset NAME"
                )
        return value


class Experiment(Config):
    """What is compared: a dataset, a default backbone, a budget, an evaluation, and entries x seeds.

    Attributes:
        name: of the results folder.
        description: one line for reports.
        dataset: what is trained and tested on.
        backbone: of every entry that names none.
        recipe: scale (`small`, `imagenet`) or path of the recipes.
        budget: what every run may spend.
        batch_size: images per step, over all devices.
        accumulate: micro-batches into which each device cuts its share of a batch, to need less memory. Batch norm then
            sees a micro-batch at a time. Refused for losses that compare the images of a batch.
        precision: `32`; `bf16` for autocast; `auto` for bf16 on devices that compute it natively, else 32. `auto` is
            resolved before the first run; keys and records hold one of the other two.
        seeds: the same for every entry, so that differences are paired.
        entries: the lines of the comparison.
        evaluation: how encoders are probed.
        reference: the entry that the others are compared with, seed by seed; by default the first one of CNN-JEPA.
        targets: validation linear top-1 in percent; reports say how long training takes to reach each.
        cluster: what each job of `bench submit` asks for; changes no result.
        acceleration: how the work of a step is given to the device.
    """

    name: str
    description: str = ""
    dataset: DatasetSpec = DatasetSpec()
    backbone: BackboneSpec = BackboneSpec()
    recipe: str = "small"
    budget: BudgetSpec
    batch_size: Annotated[int, Field(ge=2)] = 256
    accumulate: Count = 1
    precision: Literal["32", "bf16", "auto"] = "bf16"
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    entries: tuple[EntrySpec, ...]
    evaluation: EvaluationSpec = EvaluationSpec()
    reference: str | None = None
    targets: tuple[Annotated[float, Field(gt=0, le=100)], ...] = ()
    cluster: ClusterSpec = ClusterSpec()
    acceleration: AccelerationSpec = AccelerationSpec()

    _named = field_validator("name")(check_name)

    @model_validator(mode="before")
    @classmethod
    def _backbones_without_a_name(cls, data: Any) -> Any:
        """An entry's backbone without a name becomes the experiment's, with the entry's keys changed."""
        entries, shared = (data.get("entries"), data.get("backbone")) if isinstance(data, dict) else (None, None)
        if not isinstance(entries, (list, tuple)) or not isinstance(shared, dict):
            return data
        own = [entry.get("backbone") if isinstance(entry, dict) else None for entry in entries]
        merged = [
            {**entry, "backbone": {**shared, **keys}} if isinstance(keys, dict) and "name" not in keys else entry
            for entry, keys in zip(entries, own, strict=True)
        ]
        return {**data, "entries": merged}

    @field_validator("dataset")
    @classmethod
    def _with_classes(cls, value: DatasetSpec) -> DatasetSpec:
        check_classified(value.name)
        return value

    @field_validator("precision", mode="before")
    @classmethod
    def _precision_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _divides(self) -> Experiment:
        check_parts(self.batch_size, self.accumulate, f"{self.accumulate} micro-batches")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Experiment:
        names = [entry.name for entry in self.entries]
        for what, values in (("seeds", self.seeds), ("entries", names)):
            if not values:
                raise ValueError(f"{what} is empty; at least one is needed")
            twice = sorted({str(value) for value in values if list(values).count(value) > 1})
            if twice:
                hint = "; give each a name of its own" if what == "entries" else ""
                raise ValueError(f"{what}: {', '.join(twice)} appears twice{hint}")
        alike: dict[str, str] = {}
        for name in names:
            if (other := alike.setdefault(name.lower(), name)) != name:
                raise ValueError(
                    f"entries: '{other}' and '{name}' differ in case alone; some disks make them one folder"
                )
        if self.reference is not None and self.reference not in names:
            raise ValueError(f"reference is '{self.reference}', which is no entry; {nearest(self.reference, names)}")
        return self

    @property
    def declared_reference(self) -> str | None:
        """The entry that the others are compared with; None where there is neither a declared one nor CNN-JEPA."""
        return self.reference or next((entry.name for entry in self.entries if entry.method == "cnn_jepa"), None)


def load_experiment(
    config: str,
    *,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
    budget: str | None = None,
    settings: list[str] | None = None,
) -> tuple[Experiment, Path]:
    """Reads an experiment (a path or a shipped one's name), and applies `--set` and so on; returns it and its file.

    `methods` are entries to keep, by entry name or by method.

    Raises:
        UserError: names the file or key, the value, what was expected and the nearest valid choice.
    """
    data, path = read_experiment(config)
    override(data, budget, settings or [])
    if seeds is not None:
        data["seeds"] = seeds
    experiment = validate_experiment(data, str(path))
    if methods is not None:
        chosen = {"entries": _select(experiment.entries, methods), "reference": experiment.declared_reference}
        experiment = experiment.model_copy(update=chosen)
    check_recipes(experiment, path)
    return experiment, path


def check_recipes(experiment: Experiment, source: Path) -> None:
    """Raises a `UserError` where an entry's recipe cannot be found, or is not one of its method."""
    for entry in experiment.entries:
        recipe = find_recipe(entry.recipe or experiment.recipe, entry.method, source.parent)
        if recipe is not None:
            read_recipe(recipe, entry.method)


def read_experiment(config: str, beside: Path | None = None) -> tuple[dict[str, Any], Path]:
    """An experiment's raw data, not validated, and its file; raises the errors of `find_experiment`, `read_yaml`."""
    path = find_experiment(config, beside)
    data = read_yaml(path)
    data.setdefault("name", path.stem)
    return data, path


def override(data: dict[str, Any], budget: str | None, settings: Sequence[str]) -> None:
    """Applies the command line's `--budget` and `--set` to raw data; raises a `UserError` where one is not valid."""
    if budget is not None:
        try:
            data["budget"] = parse_budget(budget)
        except ValueError as error:
            raise UserError(str(error)) from None
    for setting in settings:
        apply_setting(data, setting)


def validate_experiment(data: dict[str, Any], where: str) -> Experiment:
    """The experiment that raw data describe; see `validate`."""
    return validate(Experiment, data, where)


def _select(entries: tuple[EntrySpec, ...], wanted: list[str]) -> tuple[EntrySpec, ...]:
    names = {entry.name for entry in entries} | {entry.method for entry in entries}
    for name in wanted:
        if name not in names:
            raise UserError(f"--methods: unknown method or entry '{name}'; {nearest(name, names)}")
    if not wanted:
        raise UserError(f"--methods is empty; choices: {', '.join(sorted(names))}")
    exact = {entry.name for entry in entries} & set(wanted)
    # A word that is an entry's name means that entry; any other one means all entries of the method.
    methods = set(wanted) - exact
    return tuple(entry for entry in entries if entry.name in exact or entry.method in methods)
