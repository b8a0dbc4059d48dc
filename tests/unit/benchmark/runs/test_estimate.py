"""What runs will take, from a few steps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
import torch
from made_costs import GPU_A, make_cost, make_priced
from priced_specs import cost_of

from benchmark.machine.interrupt import StopSignal
from benchmark.runs import estimate as planning
from benchmark.runs.estimate import _estimate, _Trial, estimate
from benchmark.runs.prices import StepPrice

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


def _priced(specs: list[RunSpec], **changes: Any) -> dict[str, StepPrice]:
    cost = cost_of(specs, {"simclr": 0.5}, **changes)
    return {key: StepPrice(entry, cost) for key, entry in cost.prices.items()}


def test_steps_that_have_a_price_are_not_tried_out(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, notes: Any
) -> None:
    specs = make_specs("simclr", budget={"steps": [2, 8]}, seeds=[0, 1])
    arguments = (specs, dataset, torch.device("cpu"), notes, StopSignal(notes.say))
    prices = _priced(specs)
    short, long = estimate(*arguments, evaluation=False, prices=prices)
    assert (short.runs, short.step, short.training, long.training) == (2, 0.5, 1.0, 4.0)
    assert long.interval is not None and (long.interval.low, long.interval.high) == pytest.approx((3.92, 4.08))
    assert long.source == next(iter(prices.values())).source
    assert (long.memory, long.disk, notes.lines) == (2**30, None, [])
    (timed,) = estimate(
        make_specs("simclr", budget={"wall_clock": 30}), *arguments[1:], evaluation=False, prices=prices
    )
    assert (timed.training, timed.samples, timed.interval) == (30.0, 60 * 8, None)
    (counted,) = estimate(make_specs("simclr", budget={"flops": 3e9}), *arguments[1:], evaluation=False, prices=prices)
    assert counted.training == 1.5  # of 1e9 FLOPs a step


@pytest.mark.slow
def test_a_probe_is_timed_beside_a_price(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(planning, "seconds_per_step")
    specs = make_specs("simclr")
    arguments = (specs, dataset, torch.device("cpu"), notes, StopSignal(notes.say))
    (result,) = estimate(*arguments, evaluation=True, prices=_priced(specs))
    assert (result.step, result.training, result.memory) == (0.5, 1.0, 2**30)
    assert result.evaluation is not None and result.evaluation > 0
    assert result.disk is not None and result.disk > 2**20
    assert notes.lines == ["trying out a probe, for an estimate: simclr (1 of 1)"]


def test_a_price_of_several_devices_is_of_all_together() -> None:
    spec, dataset = MagicMock(), MagicMock()
    spec.experiment.batch_size, spec.budget.total_steps.return_value = 16, 7200
    cost = make_cost([make_priced("byol")], {"byol": 0.5}, {**GPU_A, "devices": 2})
    trial = replace(TRIAL, price=StepPrice(cost.entries[0], cost))
    result = _estimate(spec, 1, trial, dataset, devices=2)
    assert (result.training, result.device_hours) == (3600.0, 2.0)


@pytest.mark.slow
def test_entries_of_one_backbone_share_a_probe(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes: list[int] = []
    probe = planning.evaluate_point

    def counted(*arguments: Any) -> Any:
        probes.append(1)
        return probe(*arguments)

    monkeypatch.setattr(planning, "evaluate_point", counted)
    specs = make_specs("simclr", "supervised", "cnn_jepa")
    results = estimate(specs, dataset, torch.device("cpu"), notes, StopSignal(notes.say), evaluation=True)
    seconds = {result.spec.entry.name: result.evaluation or 0.0 for result in results}
    simclr, supervised, cnn_jepa = (seconds[name] for name in ("simclr", "supervised", "cnn_jepa"))
    assert len(probes) == 1 and simclr == supervised > 0.0
    # Two points of 60 images each, and at the end 80 less the last point's; CNN-JEPA has a second encoder, with
    # statistics of its own.
    assert cnn_jepa / simclr == pytest.approx((2 * 60 + 20 + 80 + 50) / (2 * 60 + 20))
