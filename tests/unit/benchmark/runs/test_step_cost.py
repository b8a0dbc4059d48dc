"""Measurements of step costs: what they hold, how they resume, and what one bad entry does to the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.errors import Interrupted, UserError
from benchmark.files import folder_lock
from benchmark.machine.ranks import Ranks
from benchmark.records.cost import find_costs, read_cost
from benchmark.runs import step_cost
from benchmark.runs.step_cost import CostOptions, measure_costs
from benchmark.training import profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.data.datasets import Dataset
    from benchmark.experiment.run_spec import RunSpec

CPU = torch.device("cpu")
QUICK = CostOptions(rounds=5, block=0.001, precise=1e-9)


class Stop:
    """Wants to stop after so many questions."""

    def __init__(self, after: float = float("inf")) -> None:
        self.left = after

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left < 0


class Progress:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.states: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def measuring(self, state: str, share: float, left: float | None) -> None:
        assert 0.0 <= share <= 1.0
        self.states.append(state)


Measure = "Callable[..., tuple[StepCost, Progress]]"


@pytest.fixture
def measure(
    make_specs: Callable[..., list[RunSpec]], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Measures entries of the small experiment into one folder."""
    monkeypatch.setattr(profile, "FLOP_DRAWS", 2)

    def run(*entries: str, options: CostOptions = QUICK, stop: Stop | None = None, specs: Any = None) -> Any:
        progress, made = Progress(), specs or make_specs(*entries)
        signal: Any = stop or Stop()
        return measure_costs(made, dataset, tmp_path / "few", options, progress, signal, Ranks(CPU)), progress

    return run


@pytest.mark.slow
def test_a_measurement_holds_what_a_step_costs(measure: Any, tmp_path: Path) -> None:
    cost, _ = measure("simclr", "cnn_jepa", "random_init")
    assert [(path.parent.name, found) for path, found in find_costs([tmp_path])[0]] == [("costs", cost)]
    assert (cost.status, cost.rounds, cost.reference, cost.jumps) == ("complete", 5, "cnn_jepa", 0)
    assert [entry.entry for entry in cost.entries] == ["simclr", "cnn_jepa"]  # what trains
    simclr, cnn_jepa = cost.entries
    assert simclr.ratio.median == pytest.approx(
        simclr.seconds_per_step.median / cnn_jepa.seconds_per_step.median, rel=1
    )
    assert cnn_jepa.ratio.median == 1.0
    assert simclr.seconds_per_image.median == pytest.approx(simclr.seconds_per_step.median / 8)
    assert [block.round for block in simclr.blocks] == [0, 1, 2, 3, 4] and simclr.blocks[0].steps >= 1
    assert simclr.flops_per_step > 1e6 and set(simclr.parts) >= {"data", "views", "encoder", "backward", "optimizer"}
    assert simclr.peak_memory_bytes > 2**20 and not simclr.rebuilt
    assert simclr.other_cores is not None and simclr.data_wait_share < 1
    assert "seed" not in simclr.config and "budget" not in simclr.config
    assert cost.hardware.threads == torch.get_num_threads() and cost.hardware.precision == "32"
    again, said = measure("simclr", "cnn_jepa", "random_init")
    assert again == cost and "measured already" in said.lines[0] and not said.states


@pytest.mark.slow
def test_an_interrupted_measurement_keeps_its_rounds_and_resumes(measure: Any, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        measure("simclr", "supervised", stop=Stop(after=2 + 2 * 2 + 1))  # two entries, two rounds, half of the third
    ((path, part),), _ = find_costs([tmp_path])
    assert (part.status, part.rounds) == ("unfinished", 2)
    cost, _ = measure("simclr", "supervised")
    assert (cost.status, cost.rounds) == ("complete", 5)
    assert [entry.blocks[:2] for entry in cost.entries] == [entry.blocks for entry in part.entries]
    assert cost.entries[0].parts == part.entries[0].parts  # not measured twice
    more, _ = measure("simclr", "supervised", options=replace(QUICK, rounds=6))
    assert more.rounds == 6 and more.entries[0].blocks[:5] == cost.entries[0].blocks
    assert read_cost(path) == more
    assert read_cost(path.with_stem(f"{path.stem}-{cost.key[:8]}")) == cost  # runs may name it


@pytest.mark.slow
def test_it_ends_when_it_is_precise_enough(measure: Any) -> None:
    cost, _ = measure("simclr", "supervised", options=replace(QUICK, rounds=50, precise=0.999))
    assert 5 <= cost.rounds < 50 and cost.status == "complete"


@pytest.mark.slow
def test_one_entry_out_of_memory_is_named_and_the_others_go_on(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = step_cost.timed_block

    def short(training: Any, *arguments: Any) -> Any:
        if training.spec.entry.name == "supervised":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore lines")
        return timed(training, *arguments)

    monkeypatch.setattr(step_cost, "timed_block", short)
    cost, progress = measure("simclr", "supervised")
    simclr, supervised = cost.entries
    assert (supervised.status, supervised.blocks) == ("out_of_memory", []) and "2 GiB" in (supervised.message or "")
    assert simclr.status == "measured" and len(simclr.blocks) == cost.rounds == 5
    assert any(line.startswith("supervised: cannot be measured, the others go on") for line in progress.lines)
    assert set(cost.prices) == {simclr.step_key}
    monkeypatch.setattr(step_cost, "timed_block", timed)
    again, _ = measure("simclr", "supervised")  # what failed is tried again, and with it all
    assert len(again.prices) == 2


@pytest.mark.slow
def test_without_any_entry_that_works_there_is_no_cost(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(step_cost, "timed_block", fails)
    with pytest.raises(UserError, match=r"no entry could be measured \(simclr: RuntimeError: no such operation\)"):
        measure("simclr")
    with pytest.raises(UserError, match="no entry trains anything"):
        measure("random_init")


def test_a_reference_has_to_be_measured(measure: Any) -> None:
    with pytest.raises(UserError, match="--against: 'simcrl' is not measured; did you mean 'simclr'"):
        measure("simclr", "supervised", options=replace(QUICK, against="simcrl"))


@pytest.mark.slow
def test_a_block_during_which_the_clock_jumped_is_repeated(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed, calls = step_cost.timed_block, 0

    def jumping(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        block = timed(*arguments)
        return replace(block, wall=block.wall + 3600.0) if calls in (2, 4) else block

    monkeypatch.setattr(step_cost, "timed_block", jumping)
    cost, progress = measure("simclr")
    assert cost.jumps == 2 and len(cost.entries[0].blocks) == 5
    assert sum("the clock jumped" in line for line in progress.lines) == 2
    monkeypatch.setattr(step_cost, "timed_block", lambda *a: replace(timed(*a), wall=-5.0))
    with pytest.raises(UserError, match="the clock jumped in 3 blocks in a row"):
        measure("simclr", options=replace(QUICK, rounds=6))


def test_two_processes_never_measure_into_one_folder(measure: Any, tmp_path: Path) -> None:
    with folder_lock(tmp_path / "few" / "costs"), pytest.raises(UserError, match="another process is measuring into"):
        measure("simclr")


@pytest.mark.slow
def test_other_code_or_other_entries_are_another_measurement(measure: Any, tmp_path: Path) -> None:
    measure("simclr")
    measure("simclr", "supervised")
    assert len(find_costs([tmp_path])[0]) == 2


@pytest.mark.slow
def test_a_damaged_record_is_refused(measure: Any, tmp_path: Path) -> None:
    measure("supervised")
    ((path, _),), _ = find_costs([tmp_path])
    path.write_text(path.read_text().replace('"rounds": 5', '"rounds": 7'))
    with pytest.raises(UserError, match=r"but its content gives .* move it away to measure anew"):
        measure("supervised")


@pytest.mark.slow
def test_entries_that_cost_the_same_are_measured_once(make_specs: Any, measure: Any) -> None:
    entries = ["supervised", {"name": "slow", "method": "supervised", "overrides": {"optimizer": {"lr": 0.01}}}]
    cost, _ = measure(specs=make_specs("supervised", "slow", entries=entries))
    assert [entry.entry for entry in cost.entries] == ["supervised"]
