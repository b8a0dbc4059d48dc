"""Runs resolved: their order, their keys, their precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from priced_specs import cost_of

from benchmark.data.datasets import load_dataset
from benchmark.errors import UserError
from benchmark.experiment import run_spec
from benchmark.experiment.entries import resolve_entries
from benchmark.experiment.files import shipped_experiments
from benchmark.experiment.run_spec import plan_runs, priced, resolve_precision, run_specs
from benchmark.experiment.spec import Experiment, load_experiment

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmark.experiment.run_spec import RunSpec

CPU = torch.device("cpu")


def test_runs_are_interleaved_rung_by_rung(write: Callable[..., str], specs: Callable[..., list[RunSpec]]) -> None:
    plans = specs(write(), seeds=[0, 1], budget="steps=8,4")
    order = [(plan.budget.limit, plan.seed, plan.entry.name) for plan in plans]
    assert order == [(b, s, e) for b in (4, 8) for s in (0, 1) for e in ("simclr", "tuned")]


@pytest.mark.slow
def test_the_key_changes_with_what_changes_the_result_and_with_nothing_else(
    write: Callable[..., str], specs: Callable[..., list[RunSpec]]
) -> None:
    path = write()
    same = specs(path)[0].key
    assert specs(path, settings=["name=other", "description=words"])[0].key == same
    assert specs(path, settings=["entries=[{name: another, method: simclr}]"])[0].key == same
    assert specs(path, settings=["simclr.temperature=0.11"])[0].key == same  # its default
    assert specs(path, settings=["budget={steps: 4.0}"])[0].key == same
    assert specs(path, settings=["accumulate=1", "simclr.sync_batch_norm=false"])[0].key == same  # their defaults
    assert specs(path, settings=["acceleration={networks: eager}"])[0].key == same
    assert "acceleration" not in specs(path)[0].config()
    assert specs(path, settings=["evaluation.points=4", "evaluation.images=100"])[0].key == same
    others = [
        specs(path, seeds=[1])[0].key,
        specs(path, budget="steps=5")[0].key,
        specs(path, settings=["simclr.temperature=0.21"])[0].key,
        specs(path, settings=["batch_size=32"])[0].key,
        specs(path, settings=["precision='32'"])[0].key,
        specs(path, settings=["backbone.width=16"])[0].key,
        specs(path, settings=["simclr.sync_batch_norm=true"])[0].key,
        specs(path, methods=["byol"], settings=["accumulate=2"])[0].key,
        specs(path, settings=["acceleration.networks=compiled"])[0].key,
        specs(path, methods=["byol"])[0].key,
        specs(path, "another manifest")[0].key,
    ]
    assert len({same, *others}) == len(others) + 1


def test_a_key_keeps_its_meaning_where_a_default_changed(
    write: Callable[..., str], specs: Callable[..., list[RunSpec]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CNN-JEPA's encoder was masked dense before it was sparse: the runs recorded then are masked-dense ones."""
    path = write(entries=["cnn_jepa"])
    sparse = specs(path)[0].key
    dense = specs(path, settings=["cnn_jepa.encoder=masked_dense"])[0].key
    assert sparse == specs(path, settings=["cnn_jepa.encoder=sparse"])[0].key != dense
    manifest = "4d7eb4eb8891340c0f4c1e832f87dd306677fd73f352ba0b1d445096cccca79f"
    settings = ["recipe=small_untuned"]
    settings += [
        "precision=bf16",
        "evaluation.points=5",
        "cnn_jepa.encoder=masked_dense",
        "cnn_jepa.optimizer.lr=0.002",
    ]
    monkeypatch.setattr(run_spec, "RULES_VERSION", "1.0")
    (spec,) = specs("quickstart", manifest, methods=["cnn_jepa"], settings=settings, budget="epochs=4")[:1]
    assert spec.key == "b676c0562c51bed3adf383bd007640c1"  # as recorded then


def test_calibrated_budgets_become_steps_of_each_entry_by_one_record(
    write: Callable[..., str], specs: Callable[..., list[RunSpec]]
) -> None:
    path = write(entries=["simclr", "byol", "random_init"])
    plans = specs(path, budget="calibrated_time=20s,10s")
    with pytest.raises(ValueError, match="a budget of calibrated_time"):
        _ = plans[0].key
    cost = cost_of(plans, {"simclr": 0.1, "byol": 0.3})
    runs = priced(plans, cost)
    steps = [(run.budget.limit, run.entry.name, run.budget.steps) for run in runs]
    assert steps == [
        (10, "simclr", 100), (10, "byol", 33), (10, "random_init", 0),
        (20, "simclr", 200), (20, "byol", 66), (20, "random_init", 0),
    ]  # fmt: skip
    assert runs[1].config()["budget"] == {"calibrated_time": 10.0, "steps": 33, "step_cost": cost.key}
    assert [run.step_key for run in runs] == [plan.step_key for plan in plans]
    again = priced(plans, cost.model_copy(update={"jumps": 1}).sealed())
    assert len({run.key for run in (*runs, *again)}) == 2 * len(runs)
    by_steps = specs(path, budget="steps=7")
    assert priced(by_steps, cost) == priced(by_steps, None) == by_steps
    lacking = cost_of(plans, {"simclr": 0.1})
    with pytest.raises(UserError, match=f"step cost {lacking.key[:8]} has no price for byol"):
        priced(plans, lacking)


@pytest.mark.slow
def test_every_shipped_experiment_has_runs() -> None:
    for name in shipped_experiments():
        experiment, source = load_experiment(name)
        size = experiment.dataset.size or 32
        assert run_specs(experiment, resolve_entries(experiment, source), size)


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_resolved_once_for_the_device_and_is_part_of_the_key(
    write: Callable[..., str], monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr(run_spec, "has_bfloat16", lambda device: native)
    experiment, source = load_experiment(write(precision="auto"))
    dataset = load_dataset(experiment.dataset, None)
    planned = plan_runs(experiment, resolve_entries(experiment, source), dataset, CPU)
    assert {spec.experiment.precision for spec in planned} == {"bf16" if native else "32"}
    assert {spec.manifest for spec in planned} == {dataset.manifest.digest}
    for precision in ("32", "bf16"):
        given = Experiment.model_validate({**experiment.model_dump(), "precision": precision})
        assert resolve_precision(given, CPU).precision == precision


def test_a_batch_that_the_training_split_cannot_fill_is_refused(write: Callable[..., str]) -> None:
    experiment, source = load_experiment(write(batch_size=400))
    dataset = load_dataset(experiment.dataset, None)
    with pytest.raises(UserError, match="batch_size is 400, but the training split of shapes has"):
        plan_runs(experiment, resolve_entries(experiment, source), dataset, CPU)


def test_a_run_has_its_folder_below_the_results(write: Callable[..., str], specs: Callable[..., list[RunSpec]]) -> None:
    first = specs(write())[0]
    assert first.folder(Path("out")) == Path("out/tiny/simclr") / f"seed-0-{first.key[:8]}"
