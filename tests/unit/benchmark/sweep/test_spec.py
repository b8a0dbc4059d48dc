"""Sweeps: what is read, and what is refused before the first trial, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmark.errors import UserError
from benchmark.files.parse import load_yaml
from benchmark.sweep.spec import ParameterSpec, load_sweep, read_base

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_range_of_whole_numbers_or_of_steps_is_a_list() -> None:
    assert ParameterSpec(low=1, high=4).listed() == [1, 2, 3, 4]
    assert ParameterSpec(low=8, high=31, step=8).listed() == [8, 16, 24]
    assert ParameterSpec(low=0.1, high=0.5, step=0.1).listed() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert ParameterSpec(low=0.1, high=0.5).listed() is None
    assert ParameterSpec(low=1, high=64, log=True).listed() is None
    assert ParameterSpec(low=1, high=1000).extremes() == [1, 1000]
    assert ParameterSpec(values=(None, [[1, 2]], True)).extremes() == [None, [[1, 2]], True]


def test_numbers_without_a_point_are_numbers() -> None:
    values = load_yaml("[1e-3, 1e-04, 5.e-3, 1.0e+1, mixed, 1e, '2']")
    assert ParameterSpec(values=values).listed() == [0.001, 0.0001, 0.005, 10.0, "mixed", "1e", "2"]
    assert ParameterSpec(**load_yaml("{low: 1e-4, high: 1e-2, log: true}")).extremes() == [0.0001, 0.01]


DEPTH = "cnn_jepa.predictor_depth"


def test_the_named_ablations_have_four_values_and_three_seeds() -> None:
    for name in ("mask_ratio", "target_blocks_fixed_size", "target_blocks_fixed_share", "predictor_depth"):
        spec, _ = load_sweep(name)
        (parameter,) = spec.parameters.values()
        assert len(parameter.listed() or []) >= 4 and len(spec.seeds) >= 3


def test_a_ladder_of_budgets_is_refused_by_name(write_sweep: Callable[..., Path]) -> None:
    path = write_sweep()
    sweep, _ = load_sweep(str(path))
    with pytest.raises(UserError, match=r"^--budget steps=2,4: the budget is a ladder"):
        read_base(sweep, path, "steps=2,4", [])
