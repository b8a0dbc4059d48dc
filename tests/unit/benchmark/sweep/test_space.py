"""Points: what is drawn depends on the seed, the parameter's name and the number alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler

from benchmark.errors import UserError
from benchmark.experiment.spec import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH, LR = "cnn_jepa.predictor_depth", "cnn_jepa.optimizer.lr"
RATE = {"low": 0.0001, "high": 0.01, "log": True}


def _points(resolved: Any, entry: int = 0) -> list[Any]:
    return resolved.spaces[entry].points()


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
