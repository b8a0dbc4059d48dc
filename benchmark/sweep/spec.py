"""A sweep's file: an experiment, entries, their parameters, the sampler."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from benchmark.errors import UserError
from benchmark.experiment.explain import validate
from benchmark.experiment.files import find_sweep, read_yaml, set_key
from benchmark.experiment.spec import (
    Experiment,
    check_name,
    check_recipes,
    override,
    read_experiment,
    validate_experiment,
)
from methods.config import Config, Count, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SamplerName = Literal["grid", "random", "tpe", "gp", "nsga2"]
PrunerName = Literal["none", "median", "hyperband"]
Seed = Annotated[int, Field(ge=0)]
Bound = int | float
_MANY = 64
_FIXED_KEYS = ("name", "description", "entries", "seeds", "reference", "targets", "cluster")


class ParameterSpec(Config):
    """What a parameter may be: a list of values, or a range.

    Attributes:
        values: tried as they are; any plain data that the key takes, null and lists included.
        low: lower end of a range; whole numbers at both ends (and as the step) give whole numbers.
        high: upper end, included.
        log: drawn evenly in its logarithm.
        step: distance of the values in a range; makes it a list for the grid.
    """

    values: tuple[Any, ...] | None = None
    low: Bound | None = None
    high: Bound | None = None
    log: bool = False
    step: Bound | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> ParameterSpec:
        ends = (self.low, self.high)
        if (self.values is None) == (ends == (None, None)) or (self.values is None and None in ends):
            raise ValueError("a parameter has either values, or low and high")
        if self.values is not None:
            self._check_values(self.values)
        else:
            self._check_range(*(end for end in ends if end is not None))
        return self

    def _check_values(self, values: tuple[Any, ...]) -> None:
        if self.log or self.step is not None:
            raise ValueError("log and step belong to a range, not to a list of values")
        texts = [json.dumps(value, sort_keys=True) for value in values]
        if not texts or len(set(texts)) < len(texts):
            raise ValueError("values is empty" if not texts else "values holds one of them twice")

    def _check_range(self, low: Bound, high: Bound) -> None:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"low is {low} and high {high}; expected low below high")
        if self.log and low <= 0:
            raise ValueError(f"low is {low}; a logarithm needs it above 0")
        if self.step is not None and (self.log or not 0 < self.step <= high - low):
            raise ValueError(f"step is {self.step}; expected more than 0, at most high - low, and no log beside it")

    @property
    def whole(self) -> bool:
        """Whether a range holds whole numbers only."""
        return all(isinstance(x, int) for x in (self.low, self.high, 1 if self.step is None else self.step))

    def listed(self) -> list[Any] | None:
        """All values, where they can be counted without asking how finely."""
        if self.values is not None:
            return list(self.values)
        if self.low is None or self.high is None or (self.step is None and not (self.whole and not self.log)):
            return None
        step = 1 if self.step is None else self.step
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        values = [self.low + index * step for index in range(count)]
        # 0.1 + 2 x 0.1 as 0.3
        return [float(f"{value:.12g}") if isinstance(value, float) else value for value in values]

    def extremes(self) -> list[Any]:
        """The values that a check has to try: every listed value, unless there are very many, else both ends."""
        listed = self.listed()
        if listed is None:
            return [self.low, self.high]
        return listed if len(listed) <= _MANY else [listed[0], listed[-1]]


class PublishedSpec(Config):
    """A published score to show beside ours: of which value, and under which conditions."""

    parameter: str
    value: Any
    linear_top1: float | None = None
    knn: float | None = None
    source: str


class SweepSpec(Config):
    """A sweep: one study per entry, each with the same number of trials (rule 6).

    Attributes:
        name: of the study and of its folder of results.
        description: one line for reports.
        experiment: a shipped experiment, or a path, also from beside this file.
        settings: keys of the experiment that hold for every trial, as `--set` takes them.
        entries: of the experiment; each has a study of its own.
        parameters: by key: `ENTRY.KEY`, `*.KEY` for every entry, or a key of the experiment.
        sampler: `grid` takes every combination; `random` draws; `tpe` and `gp` learn from earlier trials; `nsga2` looks
            for accuracy against device-hours.
        seed: of the sampler; it has nothing to do with the runs' seeds.
        seeds: of every trial's runs.
        trials: points of each study; the grid needs no number.
        pruner: ends weak runs early, by their validation kNN at the evaluation points.
        confirm_seeds: fresh seeds on which the best point is trained and tested once, when all trials are done.
        confirm_recipe: whether each entry as the experiment has it is trained and tested on them, too.
        published: scores of others that a report sets beside ours.
    """

    name: str
    description: str = ""
    experiment: str
    settings: dict[str, Any] = Field(default_factory=dict)
    entries: tuple[str, ...]
    parameters: dict[str, ParameterSpec]
    sampler: SamplerName = "grid"
    seed: Annotated[Seed, Field(lt=2**32)] = 0
    seeds: tuple[Seed, ...] = (0, 1, 2)
    trials: Count | None = None
    pruner: PrunerName = "none"
    confirm_seeds: tuple[Seed, ...] = ()
    confirm_recipe: bool = False
    published: tuple[PublishedSpec, ...] = ()

    _named = field_validator("name")(check_name)

    @model_validator(mode="after")
    def _fits(self) -> SweepSpec:
        for what in ("seeds", "entries", "parameters"):
            if not getattr(self, what):
                raise ValueError(f"{what} is empty; at least one is needed")
        for what in ("seeds", "entries", "confirm_seeds"):
            values = getattr(self, what)
            if len(set(values)) < len(values):
                raise ValueError(f"{what} holds one of them twice")
        common = sorted(set(self.seeds) & set(self.confirm_seeds))
        if common:
            raise ValueError(f"confirm_seeds holds {common[0]}, which the trials use; fresh seeds are needed")
        if self.confirm_recipe and not self.confirm_seeds:
            raise ValueError("confirm_recipe is true, but confirm_seeds is empty; at least one is needed")
        self._check_sampler()
        for score in self.published:
            if score.parameter not in self.parameters:
                raise ValueError(
                    f"published: no parameter '{score.parameter}'; {nearest(score.parameter, self.parameters)}"
                )
        return self

    def _check_sampler(self) -> None:
        if self.sampler == "grid":
            endless = [name for name, spec in self.parameters.items() if spec.listed() is None]
            if endless:
                raise ValueError(f"the grid needs values, or a step, for {endless[0]}; or take another sampler")
        elif self.trials is None:
            raise ValueError(f"trials is missing; sampler '{self.sampler}' does not end by itself")
        if self.sampler == "nsga2" and self.pruner != "none":
            raise ValueError(f"pruner is '{self.pruner}', but nsga2 has two objectives, which no run can be pruned by")


def load_sweep(
    config: str, *, study: str | None = None, seeds: list[int] | None = None, trials: int | None = None
) -> tuple[SweepSpec, Path]:
    """Reads a sweep and applies the command line's overrides; mistakes are a `UserError`."""
    path = find_sweep(config)
    data = read_yaml(path)
    data.setdefault("name", path.stem)
    given = {"name": study, "seeds": seeds, "trials": trials}
    data.update({key: value for key, value in given.items() if value is not None})
    return validate(SweepSpec, data, str(path)), path


class BaseExperiment(NamedTuple):
    """The experiment that a sweep varies, raw and validated, with the settings of the sweep and of the command line."""

    data: dict[str, Any]
    experiment: Experiment
    source: Path


def read_base(sweep: SweepSpec, path: Path, budget: str | None, settings: Sequence[str]) -> BaseExperiment:
    """Reads the experiment of a sweep, and checks the names of entries and keys (`UserError`); imports no torch."""
    data, source = read_experiment(sweep.experiment, path.parent)
    for key, value in sweep.settings.items():
        set_key(data, key, value, f"{path}: settings.{key}")
    override(data, budget, settings)
    experiment = validate_experiment(data, str(source))
    if len(experiment.budget.rungs()) > 1:
        where = f"--budget {budget}" if budget else str(source)
        raise UserError(f"{where}: the budget is a ladder; a sweep's trials share one limit")
    points = experiment.evaluation.points
    if sweep.pruner != "none" and (points < 2 or points * len(sweep.seeds) < 3):
        raise UserError(
            f"{path}: pruner is '{sweep.pruner}', but evaluation.points is {points}, too few for a run to be pruned "
            "before its end; expected at least 2, and 3 over all seeds, for instance --set evaluation.points=5"
        )
    _check_names(sweep, data, str(path))
    check_recipes(experiment, source)
    return BaseExperiment(data, experiment, source)


def entry_name(entry: Any) -> str:
    """The name of an entry in raw data."""
    return str(entry.get("name") or entry.get("method")) if isinstance(entry, dict) else str(entry)


def _check_names(sweep: SweepSpec, base: dict[str, Any], where: str) -> None:
    """Refuses unknown entries, and keys whose first part is unknown or cannot be varied."""
    names = [entry_name(entry) for entry in base.get("entries") or []]
    for entry in sweep.entries:
        if entry not in names:
            raise UserError(f"{where}: entries: no entry '{entry}' in {sweep.experiment}; {nearest(entry, names)}")
    heads = [*sweep.entries, *(name for name in Experiment.model_fields if name not in _FIXED_KEYS), "*"]
    for key in sweep.parameters:
        head = key.partition(".")[0]
        if head in _FIXED_KEYS:
            raise UserError(f"{where}: parameters: '{head}' cannot be swept")
        if head not in heads:
            raise UserError(f"{where}: parameters: unknown key '{key}'; {nearest(head, heads)}")
