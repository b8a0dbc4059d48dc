"""What a sweep tries: each entry's parameters and points, and the experiment that a point stands for.

Every drawn value is a function of the sampler's seed, the parameter's full name and the point's number, so that neither
another method nor another parameter changes it, and neither do workers or resuming. Learned points (`tpe`, `gp`,
`nsga2`) follow from the trials before them; their first ones are drawn like the others.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmark.errors import UserError
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.explain import with_settings
from benchmark.experiment.files import find_experiment, set_key
from benchmark.experiment.run_spec import plan_runs
from benchmark.experiment.spec import validate_experiment
from benchmark.randomness import generator
from benchmark.records.study import value_key
from benchmark.sweep.spec import entry_name, read_base

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optuna.trial import Trial

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.entries import ResolvedEntry
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.experiment.spec import Experiment
    from benchmark.sweep.spec import BaseExperiment, ParameterSpec, SweepSpec

Point = dict[str, Any]

FIRST = 10
"""How many points a learning sampler draws before it learns."""

_LONGEST_NAME = 60
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Space:
    """The parameters of one entry's study, by full name (`cnn_jepa.optimizer.lr`), and how they are tried.

    Attributes:
        where: the sweep's file, for messages.
    """

    sweep: SweepSpec
    base: BaseExperiment
    entry: str
    parameters: dict[str, ParameterSpec]
    where: str

    def suggest(self, trial: Trial) -> Point:
        """The point that Optuna's sampler, or the queue, gives a trial."""
        stored: Point = {}
        for name, of in self.distributions().items():
            if isinstance(of, CategoricalDistribution):
                stored[name] = trial.suggest_categorical(name, of.choices)
            elif isinstance(of, IntDistribution):
                stored[name] = trial.suggest_int(name, of.low, of.high, log=of.log, step=of.step)
            else:
                stored[name] = trial.suggest_float(name, of.low, of.high, log=of.log, step=of.step)
        return self.decoded(stored)

    def distributions(self) -> dict[str, CategoricalDistribution | IntDistribution | FloatDistribution]:
        """Each parameter's values as Optuna has them."""
        return {name: _distribution(spec) for name, spec in self.parameters.items()}

    def points(self) -> list[Point | None]:
        """All points in the order of the trials; None where the sampler chooses later, from earlier trials.

        The grid's order is drawn, so that a machine that becomes slower does not disadvantage the last value.
        """
        sweep = self.sweep
        if sweep.sampler == "grid":
            names = sorted(self.parameters)  # a point keeps its number when the file is put into another order
            lists = [self.parameters[name].listed() or [] for name in names]
            grid = [dict(zip(names, values, strict=True)) for values in itertools.product(*lists)]
            order = torch.randperm(len(grid), generator=generator(sweep.seed, f"sweep/{self.entry}/order"))
            return [grid[index] for index in order.tolist()][: sweep.trials]
        count = sweep.trials or 0
        known = count if sweep.sampler == "random" else min(FIRST, count)
        drawn = [
            {name: _draw(spec, sweep.seed, name, number) for name, spec in self.parameters.items()}
            for number in range(known)
        ]
        return [*drawn, *([None] * (count - known))]

    def examples(self) -> list[Point]:
        """Points that a check has to look at: each value, each end of a range, all that are known, the recipe's own."""
        first = {name: spec.extremes()[0] for name, spec in self.parameters.items()}
        varied = [{**first, name: value} for name, spec in self.parameters.items() for value in spec.extremes()]
        recipe: list[Point] = [{}] if self.sweep.confirm_recipe else []
        return [*varied, *(point for point in self.points() if point is not None), *recipe]

    def encoded(self, point: Point) -> Point:
        """A point as Optuna stores it: what is no scalar as its JSON text."""
        return {name: _label(value) if self.parameters[name].values else value for name, value in point.items()}

    def decoded(self, stored: Point) -> Point:
        """The point behind what Optuna stored, in the order of the file."""
        point = {}
        for name, spec in self.parameters.items():
            if name in stored:
                values = (value for value in spec.values or () if _same(_label(value), stored[name]))
                point[name] = next(values, stored[name])
        return point

    def name_of(self, point: Point) -> str:
        """The entry that a point is in the folder of results: readable where that is short and exact, else hashed."""
        parts = [f"{name.rpartition('.')[2]}-{_short(value)}" for name, value in sorted(point.items())]
        text = ".".join((self.entry, *parts))
        exact = all(float(_short(value)) == value for value in point.values() if isinstance(value, float))
        if exact and len(text) <= _LONGEST_NAME and _PLAIN.fullmatch(text):
            return text
        digest = hashlib.blake2b(json.dumps(point, sort_keys=True).encode(), digest_size=4).hexdigest()
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '', text)[:_LONGEST_NAME]}-{digest}"

    def data(self, point: Point, seeds: list[int]) -> dict[str, Any]:
        """The raw data of the experiment that a point stands for: one entry, under the study's name.

        Raises:
            UserError: a parameter's key leads through something that holds no keys.
        """
        data = copy.deepcopy(self.base.data)
        for name, value in point.items():
            set_key(data, name, value, self.where)
        (entry,) = (entry for entry in data["entries"] if entry_name(entry) == self.entry)
        entry = {"method": entry} if isinstance(entry, str) else entry
        data["entries"] = [{**entry, "name": self.name_of(point)}]
        data.update(name=self.sweep.name, seeds=seeds, reference=None)
        return data

    def resolve(self, point: Point) -> tuple[Experiment, list[ResolvedEntry]]:
        """A point's experiment and its one entry, validated.

        Raises:
            UserError: no run would accept the point; says which value of which key.
        """
        try:
            experiment = validate_experiment(self.data(point, list(self.sweep.seeds)), str(self.base.source))
            if len(experiment.budget.rungs()) > 1:
                raise UserError("the budget is a ladder; a sweep's trials share one limit")
            return experiment, resolve_entries(experiment, self.base.source)
        except UserError as error:
            raise UserError(f"{self.where}: with {point_text(point)}: {error}") from None

    @cached_property
    def references(self) -> dict[str, str]:
        """The experiment's own value of each parameter, as text, where it is among the listed ones.

        Empty where the experiment is not valid without a point.
        """
        try:
            experiment, (entry,) = self.resolve({})
        except UserError:
            return {}
        recipe = entry.entry.recipe or experiment.recipe
        own = {**entry.settings.model_dump(mode="json"), "backbone": entry.backbone.model_dump(), "recipe": recipe}
        values = {**experiment.model_dump(mode="json"), self.entry: own}
        texts = {name: value_key(_at(values, name.split("."))) for name in self.parameters}
        listed = {name: [value_key(value) for value in spec.listed() or ()] for name, spec in self.parameters.items()}
        return {name: text for name, text in texts.items() if text in listed[name]}


def spaces(sweep: SweepSpec, base: BaseExperiment, where: str) -> list[Space]:
    """A space per entry, in the order of the file.

    Raises:
        UserError: an entry has no parameter, or a grid has more points for one entry than for another.
    """
    names = [entry_name(entry) for entry in base.data["entries"]]
    made = [Space(sweep, base, entry, _parameters(sweep, entry, names, where), where) for entry in sweep.entries]
    counts = {space.entry: len(space.points()) for space in made}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{entry} {count}" for entry, count in counts.items())
        raise UserError(
            f"{where}: parameters give entries unlike numbers of trials ({each}), and which is best would be no "
            f"fair comparison (rule 6); expected as many for each: trials: {min(counts.values())}, or a sweep for each"
        )
    return made


def _parameters(sweep: SweepSpec, entry: str, names: list[str], where: str) -> dict[str, ParameterSpec]:
    """An entry's parameters by full name."""
    own: dict[str, ParameterSpec] = {}
    for key, spec in sweep.parameters.items():
        head, _, rest = key.partition(".")
        if head in names and head != entry:
            continue
        full = f"{entry}.{rest}" if head == "*" else key
        if full in own:
            raise UserError(f"{where}: parameters: '{full}' appears twice, once for every entry")
        own[full] = spec
    if not own:
        raise UserError(f"{where}: entry '{entry}' has no parameter; leave it out, or name one of its keys")
    return own


@dataclass(frozen=True)
class ResolvedSweep:
    """A sweep, read and checked as far as that is possible without data; command-line overrides are applied."""

    sweep: SweepSpec
    experiment: Experiment
    source: Path
    spaces: list[Space]


def resolve_sweep(sweep: SweepSpec, path: Path, *, budget: str | None, settings: Sequence[str]) -> ResolvedSweep:
    """Resolves a sweep's experiment and every point that can be known before the first trial.

    Args:
        settings: `a.b=value` each, on top of the file's.

    Raises:
        UserError: a key is unknown, or a value is one that no run would accept.
    """

    def read(settings: Sequence[str]) -> ResolvedSweep:
        base = read_base(sweep, path, budget, settings)
        entry_spaces = spaces(sweep, base, str(path))
        for space in entry_spaces:
            for point in space.examples():
                space.resolve(point)
        return ResolvedSweep(sweep, base.experiment, base.source, entry_spaces)

    return with_settings(read, settings, path, find_experiment(sweep.experiment, path.parent))


def check_on_data(resolved: ResolvedSweep, dataset: Dataset, device: torch.device) -> list[RunSpec]:
    """The runs of every point that can be known, checked against the images: their size and number.

    Raises:
        UserError: no run would accept a point.
    """
    specs = []
    for space in resolved.spaces:
        for point in space.examples():
            experiment, entries = space.resolve(point)
            try:
                specs += plan_runs(experiment, entries, dataset, device)
            except UserError as error:
                raise UserError(f"{space.where}: with {point_text(point)}: {error}") from None
    return specs


def point_text(point: Point) -> str:
    """A point for messages."""
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in point.items()) or "the recipe's own settings"


def _distribution(spec: ParameterSpec) -> CategoricalDistribution | IntDistribution | FloatDistribution:
    if spec.values is not None:
        return CategoricalDistribution([_label(value) for value in spec.values])
    assert spec.low is not None and spec.high is not None
    listed = spec.listed()
    high = listed[-1] if listed else spec.high
    if spec.whole:
        return IntDistribution(int(spec.low), int(high), log=spec.log, step=int(spec.step or 1))
    return FloatDistribution(float(spec.low), float(high), log=spec.log, step=spec.step)


def _draw(spec: ParameterSpec, seed: int, name: str, number: int) -> Any:
    uniform = torch.rand((), generator=generator(seed, f"sweep/{name}", number), dtype=torch.float64).item()
    listed = spec.listed()
    if listed is not None:
        return listed[min(int(uniform * len(listed)), len(listed) - 1)]
    assert spec.low is not None and spec.high is not None
    if spec.log:
        value = math.exp(math.log(spec.low) + uniform * (math.log(spec.high) - math.log(spec.low)))
    else:
        value = spec.low + uniform * (spec.high - spec.low)
    # Rounded to six digits, so that a value is written in full everywhere.
    value = min(max(float(f"{value:.6g}"), spec.low), spec.high)
    return round(value) if spec.whole else value


def _label(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _same(value: Any, other: Any) -> bool:
    """Equal, and of one kind: 1 is not true."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _at(values: Any, keys: Sequence[str]) -> Any:
    """The value at the end of a path through nested mappings; None where it ends before."""
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values
