"""Warm-up, and measurements on real steps outside the timed run: FLOPs, seconds, parts of a step. All are undone."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from inspect import isfunction
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmark.cost.flops import count_flops
from benchmark.data.loader import AHEAD
from benchmark.training.acceleration import COMPILED, uncompiled
from benchmark.training.loop import advance, run_step
from benchmark.training.optim import set_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmark.cost.sources import Source
    from benchmark.data.loader import RawBatch
    from benchmark.training.loop import Mark, Training
    from methods.base import Method

WARM_UP_STEPS = 3
FORWARD = ("encoder", "target_encoder", "head", "loss")  # `loss` is the rest: masks, and the loss itself
PARTS = ("data", "views", *FORWARD, "backward", "optimizer", "ema", "other")
_CALLS = ("forward", "features", "feature_map", "tokens")  # the methods in which a module may do its work
FLOP_DRAWS = 32  # steps to average FLOPs over if they depend on random draws
BREAKDOWN_STEPS = 20  # of a run at most


def warm_up(training: Training, steps: int = WARM_UP_STEPS) -> None:
    """Runs a few steps on real batches and undoes them, so that no step outside the budget changes the weights."""
    with training.ledger.phase("warmup"), undone(training):
        for _ in range(steps):
            set_schedule(training.optimizer, training.spec.settings.optimizer, training.lr, 0.0)
            run_step(training, 0.0)
            training.step += 1


def flops_per_step(training: Training) -> float:
    """FLOPs of a step over the whole batch, all ranks together, counted on steps that are undone.

    If a method's cost depends on its draws (masks, whose share may change with progress), they are averaged over
    `FLOP_DRAWS` steps spread over progress; otherwise one step is counted.
    """
    return fmean(flops_of_steps(training, FLOP_DRAWS if training.method.cost_varies else 1))


def flops_of_steps(training: Training, steps: int) -> list[float]:
    """FLOPs of some steps spread over progress, each over the whole batch and all ranks; the steps are undone."""
    counts = []
    with undone(training), uncompiled(training.method):
        training.step = 0
        for number in range(steps):
            progress = (number + 0.5) / steps
            counts.append(count_flops(lambda progress=progress: run_step(training, progress)))  # type: ignore[misc]
            training.step += 1
    return [training.ranks.sum(count) for count in counts]


def seconds_per_step(training: Training, steps: int, ready: RawBatch | None = None) -> float:
    """Mean seconds of a step, over steps that are undone; every step takes the `ready` batch if there is one."""
    synchronize = training.ledger.synchronize
    with undone(training):
        synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            run_step(training, 0.5, ready=ready)
            training.step += 1
        synchronize()
        return (time.perf_counter() - start) / steps


def ready_made_throughput(training: Training, steps: int = 20) -> float:
    """Images per second, all ranks together, with a batch at hand: without any wait for data (rule 12)."""
    ready = training.batches.fetch(training.step)
    training.batches.wait_for_reader()
    return training.batches.batch_size / seconds_per_step(training, steps, ready)


@dataclass(frozen=True)
class TimedBlock:
    """Some training steps in a row: seconds, how many of them were spent waiting for data, and what counters grew by.

    `wall`: the same seconds by the clock of the day, which shows whether one of the clocks jumped.
    """

    seconds: float
    data_wait: float
    wall: float
    grown: dict[str, float]


def timed_block(training: Training, steps: int, progress: float, counters: Sequence[Source] = ()) -> TimedBlock:
    """Times some training steps, with everything that is charged to a run; the device is synchronised at both ends.

    Steps before them are not timed: one, so that caches and memory are this entry's again, and where images are read
    ahead one more than are read, so that no batch was read before the clock starts. Nothing is undone.
    """
    ledger, finite = training.ledger, torch.ones((), dtype=torch.bool, device=training.fabric.device)
    training.method.train()
    for _ in range(1 if training.batches.resident else AHEAD + 1):
        advance(training, progress, finite)
    ledger.synchronize()
    before = _readings(counters)
    seconds, waited, wall = ledger.training_time, ledger.data_wait, time.time()
    with ledger.phase("training"):
        for _ in range(steps):
            advance(training, progress, finite)
    seconds, waited, wall = ledger.training_time - seconds, ledger.data_wait - waited, time.time() - wall
    after = _readings(counters)
    training.batches.wait_for_reader()  # nothing is read during another entry's block
    return TimedBlock(seconds, waited, wall, {name: after[name] - before[name] for name in before.keys() & after})


def _readings(counters: Sequence[Source]) -> dict[str, float]:
    """What the counters show; without those that can no longer be read."""
    values = {}
    for counter in counters:
        with suppress(OSError):
            values[counter.name] = counter.read()
    return values


@contextmanager
def undone(training: Training) -> Iterator[None]:
    """Restores weights, buffers, optimizer state and step at the end of the block."""
    method = deepcopy(training.method.state_dict())
    optimizer = deepcopy(training.optimizer.state_dict())
    step, was_training = training.step, training.method.training
    training.method.train()
    try:
        yield
    finally:
        training.method.load_state_dict(method)
        training.optimizer.load_state_dict(optimizer)
        training.optimizer.zero_grad(set_to_none=True)
        training.step = step
        training.method.train(was_training)


def breakdown(training: Training, steps: int = BREAKDOWN_STEPS) -> dict[str, Any]:
    """Seconds per step of each part of a step, outside the timed run, state restored.

    On a GPU parts lie between events on the device, which nothing waits for until all steps have been given to it: the
    time in which it has nothing to do counts towards the part that comes next.

    Returns:
        `steps`, `seconds_per_step`, and `parts`: seconds of each of `PARTS`. If no call of the encoder was seen, the
        four parts of the forward pass are one, `forward`.
    """
    parts = dict.fromkeys(PARTS, 0.0)
    ticks = Ticks(training.fabric.device)
    with undone(training), marked(training.method, ticks.mark):
        start = time.perf_counter()
        for _ in range(steps):
            ticks.begin()
            run_step(training, 0.5, ticks.mark)
            training.step += 1
        spent = ticks.seconds()
        total = time.perf_counter() - start
    for part, seconds in spent.items():
        parts[part] += seconds
    parts["other"] = max(0.0, total - sum(parts.values()))
    if not parts["encoder"]:
        parts["forward"] = sum(parts.pop(part) for part in FORWARD)
    per_step = {name: value / steps for name, value in parts.items()}
    return {"steps": steps, "seconds_per_step": total / steps, "parts": per_step}


class Ticks:
    """Marks the ends of parts: by events of a GPU, or by the clock."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._ticks: list[tuple[str, Any]] = []  # a part, and its end; no part where one begins

    def begin(self) -> None:
        """The first part of a step begins."""
        self.mark("")

    def mark(self, part: str) -> None:
        """A part ends, and the next one begins."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._ticks.append((part, event))
        else:
            self._ticks.append((part, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """Seconds of each part, over all steps; waits until the device has done them."""
        cuda = self._device.type == "cuda"
        if cuda:
            torch.cuda.synchronize(self._device)
        spent: dict[str, float] = {}
        for (_, before), (part, after) in itertools.pairwise(self._ticks):
            if part:
                elapsed = before.elapsed_time(after) / 1e3 if cuda else after - before
                spent[part] = spent.get(part, 0.0) + elapsed
        return spent


@contextmanager
def marked(method: Method[Any], mark: Mark) -> Iterator[None]:
    """Marks the parts of a method's forward pass: the calls of its modules, and what lies between them as `loss`.

    Of nested calls the outermost counts. Calls outside the forward pass (again in the backward pass, or after the step)
    count towards the parts that they belong to. Modules must not be copied meanwhile.
    """
    calls = _ForwardCalls(mark)
    modules = [(part, module) for part, modules in method.forward_parts().items() for module in modules]
    wrapped = {
        (module, name): calls.wrapped(part, getattr(module, name))
        for part, module in modules
        for name in _call_names(module)
    }
    wrapped[method, "forward"] = calls.wrapped("forward", method.forward)
    before = {(module, name): vars(module).get(name) for module, name in wrapped}
    try:
        for (module, name), call in wrapped.items():
            setattr(module, name, call)  # of this module alone; its class keeps its own
        yield
    finally:
        for (module, name), own in before.items():
            if own is not None:
                setattr(module, name, own)
            elif name in vars(module):
                delattr(module, name)


def _call_names(module: nn.Module) -> list[str]:
    """The attributes by which a module is called: what a compiled one runs is beyond reach, so that it counts whole."""
    if getattr(module, COMPILED, None) is not None:
        return [COMPILED]
    return [name for name in _CALLS if isfunction(getattr(type(module), name, None))]  # no layer or number of that name


class _ForwardCalls:
    """Wraps calls so that they mark the parts of a forward pass; `inside` is the outermost call under way."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self._inside = ""

    def wrapped(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call of a module of this part, or of the whole pass (`forward`)."""
        outer = "" if part == "forward" else "forward"

        def run(*arguments: Any, **options: Any) -> Any:
            if self._inside != outer:
                return call(*arguments, **options)
            self._inside = part
            if outer:
                self._mark("loss")
            try:
                return call(*arguments, **options)
            finally:
                self._inside = outer
                if outer:
                    self._mark(part)

        return run
