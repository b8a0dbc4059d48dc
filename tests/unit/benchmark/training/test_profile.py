"""Measurements on real steps, all of which are undone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmark.cost.flops import count_flops
from benchmark.training import profile
from benchmark.training.loop import run_step
from benchmark.training.profile import (
    FLOP_DRAWS,
    PARTS,
    Ticks,
    breakdown,
    flops_per_step,
    ready_made_throughput,
    seconds_per_step,
    timed_block,
    undone,
    warm_up,
)


def _state(training: Any) -> list[torch.Tensor]:
    weights = [value.clone() for value in training.method.state_dict().values()]
    moments = [
        value.clone()
        for state in training.optimizer.state_dict()["state"].values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]
    return weights + moments


def _assert_same(training: Any, before: list[torch.Tensor]) -> None:
    after = _state(training)
    assert len(after) == len(before)
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_warm_up_leaves_no_trace_but_time(make_training: Any) -> None:
    training = make_training()
    before = _state(training)
    warm_up(training, steps=1)
    _assert_same(training, before)
    assert training.step == 0 and training.ledger.steps == 0
    assert training.ledger.record(None).phases.warmup > 0 == training.ledger.training_time


def test_steps_are_undone_after_a_failure_too(make_training: Any) -> None:
    training = make_training("simclr")
    run_step(training, 0.0)  # so that the optimizer has a state
    training.step = 1
    training.method.eval()
    before = _state(training)
    with pytest.raises(ZeroDivisionError), undone(training):
        assert training.method.training
        run_step(training, 0.0)
        training.step += 1
        raise ZeroDivisionError
    _assert_same(training, before)
    assert training.step == 1 and not training.method.training
    assert all(parameter.grad is None for parameter in training.method.parameters())


def test_flops_of_a_step_whose_cost_is_fixed_are_those_of_one_step(make_training: Any) -> None:
    training = make_training()
    with undone(training):
        once = count_flops(lambda: run_step(training, 0.0))
    assert flops_per_step(training) == once > 0


def test_flops_that_vary_are_averaged_over_progress(make_training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    training = make_training()
    monkeypatch.setattr(type(training.method), "cost_varies", True)
    seen: list[tuple[float, int]] = []
    monkeypatch.setattr(profile, "run_step", lambda training, progress: seen.append((progress, training.step)))
    monkeypatch.setattr(profile, "count_flops", lambda work: (work(), len(seen))[1])
    assert flops_per_step(training) == (FLOP_DRAWS + 1) / 2
    assert [step for _, step in seen] == list(range(FLOP_DRAWS))
    assert seen[0][0] == 0.5 / FLOP_DRAWS and seen[-1][0] == 1 - 0.5 / FLOP_DRAWS


def test_seconds_and_throughput_are_means_over_steps(make_training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    training = make_training()
    clock, batches = iter((10.0, 12.0, 20.0, 21.0)), []
    monkeypatch.setattr(profile.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(profile, "run_step", lambda training, progress, ready: batches.append(ready))
    assert seconds_per_step(training, 4) == 0.5
    assert ready_made_throughput(training, 2) == 16 / 0.5
    assert batches[:4] == [None] * 4
    assert batches[4] is batches[5] and batches[4].labels_B.tolist() == training.batches.fetch(0).labels_B.tolist()


def test_the_parts_of_a_step_sum_to_its_time(make_training: Any) -> None:
    training = make_training("byol")
    before = _state(training)
    measured = breakdown(training, steps=1)
    _assert_same(training, before)
    assert measured["steps"] == 1 and set(measured["parts"]) == set(PARTS)
    assert sum(measured["parts"].values()) == pytest.approx(measured["seconds_per_step"])
    assert all(measured["parts"][part] > 0 for part in PARTS if part != "other")


def test_a_forward_pass_without_a_call_of_the_encoder_is_one_part(
    make_training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make_training()
    monkeypatch.setattr(training.method, "forward_parts", dict)
    parts = breakdown(training, steps=1)["parts"]
    assert set(parts) == {"data", "views", "forward", "backward", "optimizer", "ema", "other"}


def test_a_block_times_its_own_steps_alone(make_training: Any) -> None:
    training = make_training()

    class Counter:
        name, grows, scope, value = "energy", True, "", 0.0

        def read(self) -> float:
            self.value += 5.0
            return self.value

    block = timed_block(training, 3, 0.5, [Counter()])
    assert training.step == 4  # the first is not timed, and nothing is undone
    assert training.ledger.steps == 4 and training.ledger.training_time == pytest.approx(block.seconds)
    assert 0 <= block.data_wait < block.seconds == pytest.approx(block.wall, rel=0.2, abs=0.05)
    assert block.grown == {"energy": 5.0}


def test_a_counter_that_can_no_longer_be_read_is_left_out(make_training: Any) -> None:
    class Broken:
        name, grows, scope, calls = "energy", True, "", 0

        def read(self) -> float:
            self.calls += 1
            if self.calls > 1:
                raise OSError
            return 1.0

    assert timed_block(make_training(), 1, 0.5, [Broken()]).grown == {}


def test_batches_that_were_read_before_the_clock_started_are_not_timed(make_training: Any) -> None:
    training = make_training()
    fetched: list[int] = []
    fetch = training.batches.fetch
    training.batches.resident = False
    training.batches.fetch = lambda step: fetched.append(step) or fetch(step)
    timed_block(training, 2, 0.5)
    assert fetched == [0, 1, 2, 3, 4]  # two are read ahead: three come before the clock


def test_on_a_gpu_parts_lie_between_events_that_nothing_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waits = [0.0], []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = now[0]

        def elapsed_time(self, end: Event) -> float:
            assert waits, "the device has not been waited for"
            return (end.at - self.at) * 1e3

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    ticks = Ticks(torch.device("cuda"))
    for _ in range(2):
        ticks.begin()
        for part, seconds in (("data", 1.0), ("loss", 2.0), ("data", 4.0)):
            now[0] += seconds
            ticks.mark(part)
        now[0] += 100.0  # between two steps
    assert not waits
    assert ticks.seconds() == {"data": 10.0, "loss": 4.0} and len(waits) == 1
