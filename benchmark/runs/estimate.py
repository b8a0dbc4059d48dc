"""Estimates what an experiment will take on this machine, from step-cost records or a few real steps of each entry.

Estimates serve plans only; no schedule is made from them (rule 5).
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmark.evaluation.evaluate import evaluate_point
from benchmark.experiment.run_spec import plan_runs, priced
from benchmark.machine.devices import choose_device, take_device
from benchmark.machine.environment import hardware
from benchmark.runs.prices import choose_cost, prices_here
from benchmark.runs.progress import Estimate
from benchmark.runs.run import Run
from benchmark.training.loop import run_step
from benchmark.training.profile import flops_per_step, seconds_per_step, undone, warm_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.entries import ResolvedEntry
    from benchmark.experiment.run_spec import RunSpec
    from benchmark.experiment.spec import Experiment
    from benchmark.machine.interrupt import StopSignal
    from benchmark.runs.prices import CostSource, StepPrice
    from benchmark.runs.progress import Reporter

STEPS = 5  # timed, after the warm-up
TRYING_OUT = "after the entry that is tried out"  # when an interruption takes effect


@dataclass(frozen=True)
class _Trial:
    """What is known of an entry's steps, from a few of them, or from its price."""

    step: float
    flops: float | None
    evaluation: float | None
    memory: int | None
    disk: int | None
    price: StepPrice | None = None


@dataclass(frozen=True)
class _Probe:
    """What a probe of one backbone takes: seconds per image that passes the encoder, and peak bytes."""

    seconds: float
    memory: int | None


def estimate(
    specs: Sequence[RunSpec],
    dataset: Dataset,
    device: torch.device,
    reporter: Reporter,
    stop_signal: StopSignal,
    *,
    evaluation: bool,
    devices: int = 1,
    prices: Mapping[str, StepPrice] | None = None,
) -> list[Estimate]:
    """Tries out each entry of some runs once on a free device, and estimates all its seeds and rungs from that.

    Args:
        evaluation: time a probe, too, which can take longer than the steps. Entries of one backbone share it: before
            their training they have the same weights, hence the same features.
        prices: of steps on this hardware, by step key; steps that have one are not tried out.

    Returns:
        One estimate per entry and rung, in the order of the runs.
    """
    groups: dict[tuple[str, str], list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.entry.name, str(spec.budget)), []).append(spec)
    flops = any(spec.budget.kind == "flops" for spec in specs)
    trials: dict[str, _Trial] = {}
    probes: dict[str, _Probe] | None = {} if evaluation else None
    estimates = []
    trained = {spec.entry.name for spec in specs if spec.method.trainable}
    for (name, _), (spec, *others) in groups.items():
        if name in trained and name not in trials:
            if stop_signal.requested:
                raise KeyboardInterrupt
            price = (prices or {}).get(spec.step_key)
            if price is not None and flops and price.entry.flops_per_step is None:
                price = None
            if price is None or evaluation:
                new = probes is not None and str(spec.backbone) not in probes
                what = " and ".join(["a few steps"] * (price is None) + ["a probe"] * new) or "the size of its state"
                reporter.say(f"trying out {what}, for an estimate: {name} ({len(trials) + 1} of {len(trained)})")
            try:
                trials[name] = _try_out(spec, dataset, device, reporter, stop_signal, probes, flops, price)
            except Exception as error:
                # The entry's own run will report and record what is wrong (rule 18).
                reporter.say(f"{name}: cannot be tried out ({type(error).__name__}: {error})")
        estimates.append(_estimate(spec, 1 + len(others), trials.get(name), dataset, devices))
    return estimates


def plan_experiment(
    experiment: Experiment,
    entries: list[ResolvedEntry],
    dataset: Dataset,
    device: str,
    share: bool,
    reporter: Reporter,
    stop_signal: StopSignal,
    devices: int = 1,
    costs: CostSource | None = None,
) -> list[Estimate]:
    """Estimates all runs of an experiment with their probes, finished ones included, from steps on one device.

    Raises:
        UserError: an entry does not fit, the device is in use, or there is no price for a calibrated budget.
    """
    chosen = choose_device(device)
    specs = plan_runs(experiment, entries, dataset, chosen)
    here = hardware(chosen, devices, specs[0].experiment.precision)
    specs, prices = priced(specs, choose_cost(specs, costs, here, reporter.say)), prices_here(costs, here)
    with take_device(device, share=share) as (taken, _):
        return estimate(specs, dataset, taken, reporter, stop_signal, evaluation=True, devices=devices, prices=prices)


def _try_out(
    spec: RunSpec,
    dataset: Dataset,
    device: torch.device,
    reporter: Reporter,
    stop_signal: StopSignal,
    probes: dict[str, _Probe] | None,
    flops: bool,
    price: StepPrice | None,
) -> _Trial:
    if price is not None and probes is None:
        return _of_price(price)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(spec, dataset, device, Path(folder), reporter, stop_signal)
        try:
            training = run.training
            assert training is not None
            if price is None:
                warm_up(training)
                step = seconds_per_step(training, STEPS)
            with undone(training):  # an optimizer has its state once it has made a step
                run_step(training, 0.5)
                state = _bytes((run.method.state_dict(), training.optimizer.state_dict()))
            disk = 2 * state + _bytes(run.method.backbone.state_dict())
            counted = flops_per_step(training) if flops and price is None else None
            spent, memory = None, run.memory.largest()
            if probes is not None:
                probe = _probe(run, probes)
                spent = _evaluation_time(run, probe)
                memory = max(filter(None, (memory, probe.memory)), default=None)
            if price is not None:
                return replace(_of_price(price), evaluation=spent, disk=disk)
            return _Trial(step, counted, spent, memory, disk)
        finally:
            run.close()


def _of_price(price: StepPrice) -> _Trial:
    return _Trial(
        price.seconds_per_step.median, price.entry.flops_per_step, None, price.entry.peak_memory_bytes, None, price
    )


def _probe(run: Run, probes: dict[str, _Probe]) -> _Probe:
    """What a probe of the run's backbone takes; measured, and added to `probes`, where it is not there yet."""
    name = str(run.spec.backbone)
    if name not in probes:
        start = time.perf_counter()
        with run.memory.left_out():
            evaluate_point(run.primary, run.point_data, run.device)
        seconds = (time.perf_counter() - start) / run.images_of_points(1)
        probes[name] = _Probe(seconds, run.memory.largest())
    return probes[name]


def _evaluation_time(run: Run, probe: _Probe) -> float:
    """Seconds of all probes of a run, in proportion to the images that pass its encoders."""
    points = run.spec.experiment.evaluation.points
    return probe.seconds * (run.images_of_points(points) + run.images_at_end(known=True))


def _estimate(spec: RunSpec, runs: int, trial: _Trial | None, dataset: Dataset, devices: int) -> Estimate:
    if trial is None:
        return Estimate(spec, runs, None, 0.0, None, 0.0, None, None, devices)
    batch = spec.experiment.batch_size
    step = trial.step if trial.price else trial.step / devices
    images = len(dataset.trained_on(spec.method).images)
    steps: float | None = spec.budget.total_steps(images // batch, batch, trial.flops)
    interval = None
    if steps is None:
        seconds = spec.budget.training_time(devices)
        assert seconds is not None
        steps = seconds / step
    elif trial.price is not None:
        interval = trial.price.seconds_per_step.times(steps)
    return Estimate(
        spec,
        runs,
        trial.step,
        steps * step,
        trial.evaluation,
        steps * batch,
        trial.memory,
        trial.disk,
        devices,
        interval,
        trial.price.source if trial.price else None,
    )


def _bytes(value: Any) -> int:
    """The size of all tensors in nested containers."""
    if isinstance(value, dict):
        return _bytes(list(value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes, value))
    return value.nbytes if isinstance(value, Tensor) else 0
