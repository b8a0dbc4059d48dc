"""What runs will take, from a few steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
import torch

from benchmark.machine.interrupt import StopSignal
from benchmark.runs.estimate import _estimate, _Trial, estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec

TRIAL = _Trial(step=0.5, flops=None, evaluation=10.0, memory=1, disk=1)


def test_steps_take_half_the_time_on_two_devices() -> None:
    spec, dataset = MagicMock(), MagicMock()
    spec.experiment.batch_size, spec.budget.total_steps.return_value = 16, 7200
    single, double = (_estimate(spec, 3, TRIAL, dataset, devices) for devices in (1, 2))
    assert (single.training, double.training) == (3600.0, 1800.0)
    assert single.device_hours == double.device_hours == 3.0
    assert (single.total, double.total) == (3 * 3610.0, 3 * 1810.0)  # probes stay on one device
    assert single.samples == double.samples == 7200 * 16


@pytest.mark.slow
def test_each_entry_is_tried_once_and_rungs_and_seeds_follow(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, notes: Any
) -> None:
    specs = make_specs("simclr", "random_init", budget={"steps": [2, 8]}, seeds=[0, 1])
    estimates = estimate(specs, dataset, torch.device("cpu"), notes, StopSignal(notes.say), evaluation=False, devices=1)
    by_rung = {(each.spec.entry.name, str(each.spec.budget)): each for each in estimates}
    assert len(by_rung) == 4 and {each.runs for each in estimates} == {2}
    short, long = by_rung["simclr", "steps=2"], by_rung["simclr", "steps=8"]
    assert long.training == pytest.approx(4 * short.training) and short.step is not None
    assert short.disk is not None and short.disk > 2**20 and short.evaluation is None
    assert by_rung["random_init", "steps=2"].training == 0.0
    assert sum("trying out" in line for line in notes.lines) == 1


def test_what_is_wrong_with_one_entry_spoils_no_other_estimate(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, notes: Any
) -> None:
    (spec,) = make_specs("simclr")
    broken = MagicMock(wraps=spec)
    broken.entry, broken.budget, broken.method = spec.entry, spec.budget, spec.method
    broken.settings = None
    (result,) = estimate(
        [broken], dataset, torch.device("cpu"), notes, StopSignal(notes.say), evaluation=False, devices=1
    )
    assert result.step is None and any("simclr: cannot be tried out" in line for line in notes.lines)
