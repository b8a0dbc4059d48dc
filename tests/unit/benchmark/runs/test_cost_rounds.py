"""Rounds: when they end, and what one bad entry or a clock that jumps does to the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark.errors import UserError
from benchmark.runs import cost_rounds


@pytest.mark.slow
def test_it_ends_when_it_is_precise_enough(measured: Any) -> None:
    cost, _ = measured("simclr", "supervised", rounds=50, precise=0.999)
    assert 5 <= cost.rounds < 50 and cost.status == "complete"


@pytest.mark.slow
def test_one_entry_out_of_memory_is_named_and_the_others_go_on(measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = cost_rounds.timed_block

    def short(training: Any, *arguments: Any) -> Any:
        if training.spec.entry.name == "supervised":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore lines")
        return timed(training, *arguments)

    monkeypatch.setattr(cost_rounds, "timed_block", short)
    cost, progress = measured("simclr", "supervised")
    simclr, supervised = cost.entries
    assert (supervised.status, supervised.blocks) == ("out_of_memory", []) and "2 GiB" in (supervised.message or "")
    assert simclr.status == "measured" and simclr.rounds == cost.rounds == 5
    assert any(line.startswith("supervised: cannot be measured, the others go on") for line in progress.lines)
    assert set(cost.prices) == {simclr.step_key}
    monkeypatch.setattr(cost_rounds, "timed_block", timed)
    again, _ = measured("simclr", "supervised")  # what failed is tried again, and with it all
    assert len(again.prices) == 2


@pytest.mark.slow
def test_without_any_entry_that_works_there_is_no_cost(measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(cost_rounds, "timed_block", fails)
    with pytest.raises(UserError, match=r"no entry could be measured \(simclr: RuntimeError: no such operation\)"):
        measured("simclr")
    with pytest.raises(UserError, match="no entry trains anything"):
        measured("random_init")


@pytest.mark.slow
def test_a_block_during_which_the_clock_jumped_is_repeated(measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed, calls = cost_rounds.timed_block, 0

    def jumping(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        block = timed(*arguments)
        return replace(block, wall=block.wall + 3600.0) if calls in (4, 6) else block

    monkeypatch.setattr(cost_rounds, "timed_block", jumping)
    cost, progress = measured("simclr")
    assert cost.jumps == 2 and len(cost.entries[0].blocks) == 5
    assert sum("the clock jumped" in line for line in progress.lines) == 2
    monkeypatch.setattr(cost_rounds, "timed_block", lambda *a: replace(timed(*a), wall=-5.0))
    with pytest.raises(UserError, match="the clock jumped in 3 blocks in a row"):
        measured("simclr", rounds=6)


@pytest.mark.slow
def test_an_entry_that_fails_on_the_way_prices_nothing(measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed, calls = cost_rounds.timed_block, 0

    def short(training: Any, *arguments: Any) -> Any:
        nonlocal calls
        failing = training.spec.entry.name == "supervised"
        calls += failing
        if failing and calls > 5:  # three to count its steps, two rounds; then beside the other, and alone
            raise MemoryError
        return timed(training, *arguments)

    monkeypatch.setattr(cost_rounds, "timed_block", short)
    cost, _ = measured("simclr", "supervised")
    simclr, supervised = cost.entries
    assert len(supervised.blocks) == 2 and supervised.status == "out_of_memory"
    assert set(cost.prices) == {simclr.step_key} and cost.rounds == simclr.rounds == 5
