"""What is measured on real steps outside the timed run: warm-up, FLOPs, the parts of a step. All of it is undone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import contextmanager
from inspect import isfunction
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmark.cost.flops import count_flops
from benchmark.training.loop import run_step
from benchmark.training.optim import set_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmark.data.loader import RawBatch
    from benchmark.training.loop import Mark, Training
    from methods.base import Method

WARM_UP_STEPS = 3
FORWARD = ("encoder", "target_encoder", "head", "loss")  # `loss` is the rest: masks, and the loss itself
PARTS = ("data", "views", *FORWARD, "backward", "optimizer", "ema", "other")
_CALLS = ("forward", "features", "feature_map", "tokens")  # in which a module of a method may do its work
FLOP_DRAWS = 32  # steps over which FLOPs are averaged where they depend on what is drawn


def warm_up(training: Training, steps: int = WARM_UP_STEPS) -> None:
    """Runs a few steps on real batches, then puts everything back: no step outside the budget shapes the weights."""
    with training.ledger.phase("warmup"), undone(training):
        for _ in range(steps):
            set_schedule(training.optimizer, training.plan.settings.optimizer, training.lr, 0.0)
            run_step(training, 0.0)
            training.step += 1


def flops_per_step(training: Training) -> float:
    """FLOPs of a step over the whole batch, all ranks together, counted on steps that are undone.

    A method whose cost depends on its draws (masks, whose share may change with progress) is counted on `FLOP_DRAWS`
    steps spread over progress, and averaged; others on one.
    """
    steps = FLOP_DRAWS if training.method.cost_varies else 1
    total = 0
    with undone(training):
        training.step = 0
        for number in range(steps):
            progress = (number + 0.5) / steps
            total += count_flops(lambda progress=progress: run_step(training, progress))  # type: ignore[misc]
            training.step += 1
    return training.ranks.sum(total / steps)


def seconds_per_step(training: Training, steps: int, ready: RawBatch | None = None) -> float:
    """Seconds of a step, over some steps that are undone.

    Args:
        training: warmed up.
        steps: how many.
        ready: a batch that every step gets instead of waiting for its own.
    """
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
    """Images per second, all ranks together, with a batch at hand: as if nobody ever waited for data (rule 12)."""
    ready = training.batches.fetch(training.step)
    training.batches.wait_for_reader()
    return training.batches.batch_size / seconds_per_step(training, steps, ready)


@contextmanager
def undone(training: Training) -> Iterator[None]:
    """Restores weights, buffers, optimizer and position at the end of the block."""
    method = _copied(training.method.state_dict())
    optimizer = _copied(training.optimizer.state_dict())
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


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def breakdown(training: Training, steps: int = 20) -> dict[str, Any]:
    """Seconds per step of each part of a step, outside the timed run, state restored.

    The device is synchronised after every part here, so that parts are told
    apart; the sum is an upper bound of a real step.

    Returns:
        `steps`, `seconds_per_step`, and `parts`: seconds of each of `PARTS`. Four are of the forward pass; where no
        call of the encoder was seen, there is `forward` in their place.
    """
    parts = dict.fromkeys(PARTS, 0.0)
    device = training.fabric.device
    with undone(training):
        last = time.perf_counter()

        def mark(part: str) -> None:
            nonlocal last
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            now = time.perf_counter()
            parts[part] += now - last
            last = now

        with marked(training.method, mark):
            start = time.perf_counter()
            for _ in range(steps):
                last = time.perf_counter()
                run_step(training, 0.5, mark)
                training.step += 1
            total = time.perf_counter() - start
    parts["other"] = total - sum(parts.values())
    if not parts["encoder"]:
        parts["forward"] = sum(parts.pop(part) for part in FORWARD)
    seconds = {name: value / steps for name, value in parts.items()}
    return {"steps": steps, "seconds_per_step": total / steps, "parts": seconds}


@contextmanager
def marked(method: Method[Any], mark: Mark) -> Iterator[None]:
    """Marks the parts of a method's forward pass: what its modules take of it, and what lies between them as `loss`.

    Of nested calls the outermost counts. Calls outside the forward pass (again in the backward pass, or after the step)
    are left to the parts that they belong to. Modules must not be copied meanwhile.
    """
    forward_runs = inside = False

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal inside
            if inside or not forward_runs:
                return call(*arguments, **options)
            inside = True
            mark("loss")
            try:
                return call(*arguments, **options)
            finally:
                inside = False
                mark(part)

        return run

    def whole(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal forward_runs
            forward_runs = True
            try:
                return call(*arguments, **options)
            finally:
                forward_runs = False

        return run

    modules = [(part, module) for part, modules in method.forward_parts().items() for module in modules]
    wrapped = {
        (module, name): timed(part, getattr(module, name))
        for part, module in modules
        for name in _CALLS
        if isfunction(getattr(type(module), name, None))  # not a layer or a number of that name
    }
    wrapped[method, "forward"] = whole(method.forward)
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
