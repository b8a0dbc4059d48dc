"""Points: what draws depend on, their names, and what is refused before the first trial."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler

from benchmark.data.datasets import load_dataset
from benchmark.errors import UserError
from benchmark.experiment.files import shipped_sweeps
from benchmark.experiment.run_spec import run_specs
from benchmark.experiment.spec import check_name
from benchmark.sweep.space import check_on_data, resolve_sweep
from benchmark.sweep.spec import load_sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEPTH, LR = "cnn_jepa.predictor_depth", "cnn_jepa.optimizer.lr"
RATE = {"low": 0.0001, "high": 0.01, "log": True}


def _points(resolved: Any, entry: int = 0) -> list[Any]:
    return resolved.spaces[entry].points()


@pytest.mark.slow
def test_the_grid_holds_every_combination_once_in_a_drawn_order(resolve: Callable[..., Any]) -> None:
    parameters = {DEPTH: {"values": [1, 2, 3]}, "cnn_jepa.kernel_size": {"values": [3, 5]}}
    points = _points(resolve(parameters=parameters))
    assert {(point[DEPTH], point["cnn_jepa.kernel_size"]) for point in points} == {
        (d, k) for d in (1, 2, 3) for k in (3, 5)
    }
    assert len(points) == 6
    assert points == _points(resolve(parameters=parameters))
    assert points != _points(resolve(parameters=parameters, seed=1))
    assert points == _points(resolve(parameters=dict(reversed(parameters.items()))))
    # Fewer trials are the first ones, so that more of them can be asked for later.
    assert _points(resolve(parameters=parameters, trials=4)) == points[:4]


@pytest.mark.slow
def test_another_method_or_parameter_changes_no_value(resolve: Callable[..., Any]) -> None:
    alone = resolve(parameters={LR: RATE}, sampler="random", trials=5)
    more = resolve(
        parameters={"byol.ema.start": {"low": 0.9, "high": 0.99}, DEPTH: {"low": 1, "high": 4}, LR: RATE},
        entries=["byol", "cnn_jepa"], sampler="random", trials=7,
    )  # fmt: skip
    rates = [point[LR] for point in _points(alone)]
    assert [point[LR] for point in _points(more, entry=1)][:5] == rates
    assert len(set(rates)) == 5 and all(0.0001 <= rate <= 0.01 for rate in rates)
    # The sampler's seed is not that of the runs.
    assert [p[LR] for p in _points(resolve(parameters={LR: RATE}, sampler="random", trials=5, seeds=[9]))] == rates
    assert [p[LR] for p in _points(resolve(parameters={LR: RATE}, sampler="random", trials=5, seed=9))] != rates
    assert {point[DEPTH] for point in _points(more, entry=1)} <= {1, 2, 3, 4}


def test_a_star_is_every_entrys_parameter_each_with_its_own_values(resolve: Callable[..., Any]) -> None:
    resolved = resolve(parameters={"*.optimizer.lr": RATE}, entries=["cnn_jepa", "byol"], sampler="random", trials=3)
    assert [list(space.parameters) for space in resolved.spaces] == [[LR], ["byol.optimizer.lr"]]
    first, second = (_points(resolved, entry) for entry in (0, 1))
    assert [list(p.values()) for p in first] != [list(p.values()) for p in second]


def test_learning_samplers_start_from_drawn_points(resolve: Callable[..., Any]) -> None:
    points = _points(resolve(parameters={LR: RATE}, sampler="tpe", trials=14))
    assert points[10:] == [None] * 4
    assert points[:10] == _points(resolve(parameters={LR: RATE}, sampler="random", trials=10))


def test_parameters_have_their_distributions_in_optuna(resolve: Callable[..., Any]) -> None:
    blocks = [[[1, 2]], [[2, 2], [1, 1]], None]
    space = resolve(
        parameters={
            LR: RATE, DEPTH: {"low": 1, "high": 6, "step": 2}, "cnn_jepa.masking.block_sizes": {"values": blocks},
            "cnn_jepa.ema.start": {"low": 0.5, "high": 0.94, "step": 0.1},
        },
        sampler="random", trials=2,
    ).spaces[0]  # fmt: skip
    trial = optuna.create_study(sampler=RandomSampler(seed=0)).ask()
    point = space.suggest(trial)
    assert list(point) == list(space.parameters) and point["cnn_jepa.masking.block_sizes"] in blocks
    kinds = trial.distributions
    assert kinds[LR] == FloatDistribution(0.0001, 0.01, log=True)
    assert kinds[DEPTH] == IntDistribution(1, 5, step=2)
    assert kinds["cnn_jepa.ema.start"] == FloatDistribution(0.5, 0.9, step=0.1)
    assert kinds["cnn_jepa.masking.block_sizes"] == CategoricalDistribution(["[[1, 2]]", "[[2, 2], [1, 1]]", None])
    for point in space.examples():
        assert space.decoded(space.encoded(point)) == point


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ({"cnn_jepa.masking.target_share": 0.375}, "cnn_jepa.target_share-0.375"),
        ({"cnn_jepa.depthwise": True, "cnn_jepa.kernel_size": 3}, "cnn_jepa.depthwise-true.kernel_size-3"),
        ({"cnn_jepa.projection_dim": None}, "cnn_jepa.projection_dim-null"),
        ({LR: 0.00123456789}, "cnn_jepa.lr-0.00123457-"),
        ({"cnn_jepa.masking.block_sizes": [[1, 2]]}, "cnn_jepa.block_sizes-12-"),
        ({f"cnn_jepa.a_very_long_key_{i}": i for i in range(9)}, "cnn_jepa.a_very_long_key_0-0.a_very_long_key_1-1."),
    ],
)
def test_names_of_points_are_names_of_folders(resolve: Callable[..., Any], point: dict[str, Any], name: str) -> None:
    space = resolve().spaces[0]
    folder = space.name_of(point)
    assert folder == name or re.fullmatch(re.escape(name) + r".*-?[0-9a-f]{8}", folder)
    assert check_name(folder) == folder
    assert space.name_of(dict(reversed(point.items()))) == folder


def test_values_that_are_nearly_equal_have_names_of_their_own(resolve: Callable[..., Any]) -> None:
    space = resolve().spaces[0]
    assert space.name_of({LR: 0.00123456789}) != space.name_of({LR: 0.0012345678})


def test_a_grid_gives_every_entry_as_many_trials(resolve: Callable[..., Any]) -> None:
    parameters = {"*.optimizer.lr": {"values": [0.001, 0.01]}, DEPTH: {"values": [1, 2, 3]}}
    with pytest.raises(UserError, match=r"unlike numbers of trials \(cnn_jepa 6, byol 2\).*trials: 2"):
        resolve(parameters=parameters, entries=["cnn_jepa", "byol"])
    resolved = resolve(parameters=parameters, entries=["cnn_jepa", "byol"], trials=2)
    assert [len(space.points()) for space in resolved.spaces] == [2, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paramters": {}}, "unknown key 'paramters'; did you mean 'parameters'"),
        ({"parameters": {DEPTH: {"vlaues": [1]}}}, f"unknown key 'parameters.{DEPTH}.vlaues'; did you mean 'values'"),
        ({"parameters": [DEPTH]}, f"parameters is ['{DEPTH}']; expected keys and values"),
        ({"parameters": {DEPTH: [1, 2]}}, f"{DEPTH} is [1, 2]; expected keys and values: values, low, high, log, step"),
        ({"parameters": {DEPTH: {"values": 1}}}, f"{DEPTH}.values is 1; expected a list"),
        ({"parameters": {DEPTH: {"low": "a", "high": 2}}}, f"{DEPTH}.low is 'a'; expected a"),
        ({"parameters": {DEPTH: {"values": ["1e-3", 0.001]}}}, "holds one of them twice"),
        ({"entries": "cnn_jepa"}, "entries is 'cnn_jepa'; expected a list"),
        ({"seeds": 3}, "seeds is 3; expected a list"),
        ({"seeds": [-1]}, "seeds.0 is -1; expected at least 0"),
        ({"trials": 0}, "trials is 0; expected at least 1"),
        ({"settings": ["x"]}, "settings is ['x']; expected keys and values"),
        ({"settings": {"batch_size.x": 1}}, "'batch_size' holds no keys"),
        ({"name": "a/b"}, "'a/b' names a folder"),
        ({"published": [{"parameter": DEPTH, "value": 1}]}, "published.0.source: is missing"),
        ({"pruner": "medain"}, "pruner is 'medain'; did you mean 'median'"),
        ({"parameters": {DEPTH: {}}}, "either values, or low and high"),
        ({"parameters": {DEPTH: {"values": [1], "low": 1, "high": 2}}}, "either values, or low and high"),
        ({"parameters": {DEPTH: {"low": 1}}}, "either values, or low and high"),
        ({"parameters": {DEPTH: {"values": [1, 1]}}}, "holds one of them twice"),
        ({"parameters": {DEPTH: {"low": 3, "high": 2}}}, "expected low below high"),
        ({"parameters": {DEPTH: {"low": 0, "high": 2, "log": True}}}, "a logarithm needs it above 0"),
        ({"parameters": {DEPTH: {"low": 1, "high": 2, "step": 4}}}, "step is 4"),
        ({"parameters": {}}, "parameters is empty"),
        ({"entries": []}, "entries is empty"),
        ({"seeds": [0, 0]}, "seeds holds one of them twice"),
        ({"confirm_recipe": True}, "confirm_recipe is true, but confirm_seeds is empty"),
        ({"confirm_seeds": [1, 5]}, "confirm_seeds holds 1, which the trials use"),
        ({"sampler": "gird"}, "sampler is 'gird'; did you mean 'grid'"),
        ({"sampler": "tpe"}, "trials is missing; sampler 'tpe' does not end by itself"),
        ({"sampler": "nsga2", "trials": 4, "pruner": "median"}, "nsga2 has two objectives"),
        ({"parameters": {"cnn_jepa.optimizer.lr": {"low": 0.1, "high": 0.2}}}, "the grid needs values, or a step"),
        ({"published": [{"parameter": "cnn_jepa.predictor_dept", "value": 1, "source": "x"}]}, f"mean '{DEPTH}'"),
        ({"experiment": "tini"}, "unknown experiment 'tini'"),
        ({"entries": ["cnn_jep"]}, "no entry 'cnn_jep' in tiny.yaml; did you mean 'cnn_jepa'"),
        ({"entries": ["cnn_jepa", "byol"]}, "entry 'byol' has no parameter"),
        ({"parameters": {"cnn_jep.predictor_depth": {"values": [1]}}}, "unknown key 'cnn_jep.predictor_depth'; did"),
        ({"parameters": {"byol.ema.start": {"values": [1]}}}, "unknown key 'byol.ema.start'"),
        ({"parameters": {"cnn_jepa.predictor_dept": {"values": [1]}}}, "did you mean 'predictor_depth'"),
        ({"parameters": {"cnn_jepa.masking.num_block": {"values": [1]}}}, "'num_blocks'"),
        ({"parameters": {"backbone.widht": {"values": [8]}}}, "unknown key 'backbone.widht'; did you mean 'width'"),
        ({"parameters": {DEPTH: {"values": [1]}, "*.predictor_depth": {"values": [2]}}}, "appears twice"),
        ({"parameters": {"seeds": {"values": [1]}}}, "'seeds' cannot be swept"),
        ({"parameters": {DEPTH: {"values": [1, 0]}}}, f"with {DEPTH}=0: "),
        ({"parameters": {DEPTH: {"low": -1, "high": 2}}}, f"with {DEPTH}=-1: "),
        ({"parameters": {"cnn_jepa.kernel_size": {"values": [3, 4]}}}, "4 is even"),
        ({"settings": {"cnn_jepa.masking.num_block": 3}}, "'num_blocks'"),
        ({"experiment_changes": {"budget": {"steps": [2, 4]}}}, "the budget is a ladder"),
        ({"experiment_changes": {"evaluation": {"points": 1}}, "pruner": "median"}, "evaluation.points is 1, too few"),
        ({"experiment_changes": {"evaluation": {"points": 2}}, "pruner": "hyperband", "seeds": [0]}, "and 3 over all"),
    ],
)  # fmt: skip
def test_mistakes_are_named(write_sweep: Callable[..., Any], changes: dict[str, Any], message: str) -> None:
    path = write_sweep(changes.pop("experiment_changes", None), **changes)
    with pytest.raises(UserError) as caught:
        resolve_sweep(load_sweep(str(path))[0], path, budget=None, settings=[])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_does_not_fit_the_images_is_named(resolve: Callable[..., Any]) -> None:
    # 15 of 16 cells cannot be hidden; only the grid says so.
    resolved = resolve(parameters={"cnn_jepa.masking.target_share": {"values": [0.25, 0.95]}})
    with pytest.raises(UserError, match=r"with cnn_jepa.masking.target_share=0.95: .*target_share is 0.95"):
        check_on_data(resolved, load_dataset(resolved.experiment.dataset, None), torch.device("cpu"))


def test_the_command_line_replaces_the_file(write_sweep: Callable[..., Any]) -> None:
    path = write_sweep()
    spec, _ = load_sweep(str(path), study="mine", seeds=[4], trials=2)
    assert (spec.name, spec.seeds, spec.trials) == ("mine", (4,), 2)
    resolved = resolve_sweep(spec, path, budget="steps=7", settings=["cnn_jepa.kernel_size=5"])
    experiment, (entry,) = resolved.spaces[0].resolve({})
    assert str(experiment.budget.rungs()[0]) == "steps=7"
    assert entry.settings.kernel_size == 5  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_sweeps())
def test_every_shipped_sweep_plans(name: str) -> None:
    spec, path = load_sweep(name)
    assert spec.name == name and spec.description
    resolved = resolve_sweep(spec, path, budget=None, settings=[])
    for space in resolved.spaces:
        assert len(space.points()) >= 3
        for point in space.examples():
            assert run_specs(*space.resolve(point), 32)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("cnn_jepa.temperatur=3", "^--set: with .*: entry 'cnn_jepa.*: unknown key 'temperatur'"),
        ("batch_size=lots", "^--set: batch_size is 'lots'"),
    ],
)
def test_a_wrong_setting_of_the_command_line_is_not_attributed_to_a_file(
    write_sweep: Callable[..., Path], setting: str, message: str
) -> None:
    path = write_sweep()
    with pytest.raises(UserError, match=message) as caught:
        resolve_sweep(load_sweep(str(path))[0], path, budget=None, settings=[setting])
    assert ".yaml" not in str(caught.value)


def test_the_recipe_itself_is_checked_where_it_will_be_trained(write_sweep: Callable[..., Path]) -> None:
    """Valid with every value that is swept, and not with its own settings."""
    entries = [{"method": "cnn_jepa", "overrides": {"predictor_depth": 0}}]
    path = write_sweep({"entries": entries}, confirm_seeds=[7])
    resolve_sweep(load_sweep(str(path))[0], path, budget=None, settings=[])
    path = write_sweep({"entries": entries}, confirm_seeds=[7], confirm_recipe=True)
    with pytest.raises(UserError, match=r"with the recipe's own settings: .*predictor_depth"):
        resolve_sweep(load_sweep(str(path))[0], path, budget=None, settings=[])


@pytest.mark.slow
def test_the_experiments_own_value_is_a_reference_where_it_is_listed(resolve: Callable[..., Any]) -> None:
    parameters = {
        DEPTH: {"values": [1, 3]},
        "cnn_jepa.kernel_size": {"values": [5, 7]},  # its own is 3
        "cnn_jepa.masking.target_share": {"values": [0.25, 0.5]},  # set below
        "cnn_jepa.projection_dim": {"values": [None, 32]},
        "backbone.width": {"low": 8, "high": 16, "step": 8},
        LR: RATE,  # no list
    }
    settings = {"cnn_jepa.masking.block_sizes": None, "cnn_jepa.masking.target_share": 0.5}
    (space,) = resolve(parameters=parameters, settings=settings, sampler="random", trials=2).spaces
    assert space.references == {
        DEPTH: "3", "cnn_jepa.masking.target_share": "0.5", "cnn_jepa.projection_dim": "null", "backbone.width": "8",
    }  # fmt: skip


def test_every_shipped_ablation_holds_the_experiments_own_value() -> None:
    for name in shipped_sweeps():
        spec, path = load_sweep(name)
        if spec.sampler != "grid":  # tuning over ranges compares no values
            continue
        for space in resolve_sweep(spec, path, budget=None, settings=[]).spaces:
            assert set(space.references) == set(space.parameters), name
