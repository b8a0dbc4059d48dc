"""Measurements of step costs: what they hold, how they resume, and what one bad entry does to the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.cost.budget import Budget
from benchmark.errors import Interrupted, UserError
from benchmark.records.cost import find_costs, read_cost
from benchmark.records.estimates import paired, ratio_interval
from benchmark.records.locks import folder_lock
from benchmark.runs import step_cost

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_measurement_holds_what_a_step_costs(measured: Any, tmp_path: Path) -> None:
    cost, _ = measured("simclr", "cnn_jepa", "random_init")
    assert [(path.parent.name, found) for path, found in find_costs([tmp_path])[0]] == [("costs", cost)]
    assert (cost.status, cost.rounds, cost.reference, cost.jumps) == ("complete", 5, "cnn_jepa", 0)
    assert [entry.entry for entry in cost.entries] == ["simclr", "cnn_jepa"]  # what trains
    simclr, cnn_jepa = cost.entries
    assert simclr.ratio == ratio_interval(paired(simclr, cnn_jepa, cost.hardware.visible_cores)[0])
    assert cnn_jepa.ratio.median == 1.0
    assert simclr.seconds_per_image.median == pytest.approx(simclr.seconds_per_step.median / 8)
    assert [block.round for block in simclr.blocks] == [0, 1, 2, 3, 4] and simclr.blocks[0].steps >= 1
    assert simclr.flops_per_step > 1e6 and set(simclr.parts) >= {"data", "views", "encoder", "backward", "optimizer"}
    assert simclr.peak_memory_bytes > 2**20 and not simclr.rebuilt
    assert simclr.other_cores is not None and simclr.data_wait_share < 1
    assert "seed" not in simclr.config and "budget" not in simclr.config
    assert cost.hardware.threads == torch.get_num_threads() and cost.hardware.precision == "32"
    again, said = measured("simclr", "cnn_jepa", "random_init")
    assert again == cost and "measured already" in said.lines[0] and not said.states


@pytest.mark.slow
def test_an_entry_is_measured_once_whatever_its_seeds_and_its_budget(measured: Any, make_specs: Any) -> None:
    (spec,) = make_specs("simclr")
    calibrated = Budget("calibrated_time", 60.0)  # which has no steps before its price is measured
    specs = [replace(spec, seed=seed, budget=calibrated) for seed in (0, 1)]
    cost, _ = measured(specs=specs)
    assert [(entry.entry, len(entry.blocks)) for entry in cost.entries] == [("simclr", 5)]


@pytest.mark.slow
def test_an_interrupted_measurement_keeps_its_rounds_and_resumes(measured: Any, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        measured(
            "simclr", "supervised", stop_after=2 + 2 * 3 + 1
        )  # two entries, two rounds of three blocks, a part of the third
    ((path, part),), _ = find_costs([tmp_path])
    assert (part.status, part.rounds) == ("unfinished", 2)
    cost, _ = measured("simclr", "supervised")
    assert (cost.status, cost.rounds) == ("complete", 5)
    assert [len(entry.blocks) for entry in part.entries] == [4, 2]  # the reference is at both ends of a round
    for before, after in zip(part.entries, cost.entries, strict=True):
        assert after.blocks[: len(before.blocks)] == before.blocks
    assert cost.entries[0].parts == part.entries[0].parts  # not measured twice
    more, _ = measured("simclr", "supervised", rounds=6)
    assert more.rounds == 6 and more.entries[0].blocks[:10] == cost.entries[0].blocks
    assert read_cost(path) == more
    assert read_cost(path.with_stem(f"{path.stem}-{cost.key[:8]}")) == cost  # runs may name it
    with pytest.raises(Interrupted):
        measured("simclr", "supervised", rounds=8, stop_after=0)
    assert read_cost(path).status == "unfinished" and read_cost(path).rounds == 6  # nothing is lost meanwhile


def test_a_reference_has_to_be_measured(measured: Any) -> None:
    with pytest.raises(UserError, match="--against: 'simcrl' is not measured; did you mean 'simclr'"):
        measured("simclr", "supervised", against="simcrl")


@pytest.mark.slow
def test_two_processes_never_measure_one_record_but_may_measure_two(measured: Any, tmp_path: Path) -> None:
    measured("simclr")
    ((path, _),) = find_costs([tmp_path])[0]
    place = path.with_name(f".{path.stem}")
    assert not place.exists()
    with folder_lock(place):
        with pytest.raises(UserError, match="another process is measuring it; try again"):
            measured("simclr", rounds=6)
        measured("simclr", "supervised")
    assert list(path.parent.glob(".*")) == [place] and len(find_costs([tmp_path])[0]) == 2


@pytest.mark.slow
@pytest.mark.thorough
def test_other_code_or_other_entries_are_another_measurement(
    measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured("simclr")
    measured("simclr", "supervised")
    assert len(find_costs([tmp_path])[0]) == 2
    monkeypatch.setattr(step_cost, "code_state", lambda: "another commit")
    measured("simclr")
    assert len(find_costs([tmp_path])[0]) == 3


@pytest.mark.slow
def test_a_damaged_record_is_refused(measured: Any, tmp_path: Path) -> None:
    measured("supervised")
    ((path, _),), _ = find_costs([tmp_path])
    path.write_text(path.read_text().replace('"rounds": 5', '"rounds": 7'))
    with pytest.raises(UserError, match=r"but its content gives .* move it away to measure anew"):
        measured("supervised")


@pytest.mark.slow
def test_entries_that_cost_the_same_are_measured_once(make_specs: Any, measured: Any) -> None:
    entries = ["supervised", {"name": "slow", "method": "supervised", "overrides": {"optimizer": {"lr": 0.01}}}]
    cost, _ = measured(specs=make_specs("supervised", "slow", entries=entries))
    assert [entry.entry for entry in cost.entries] == ["supervised"]
    alike, progress = measured(specs=make_specs("supervised", "slow", entries=entries), against="slow")
    assert alike == cost and "measured already" in progress.lines[0]
