"""What a sweep leaves for readers."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from benchmark.cli.pages import write_pages
from benchmark.records.study import read_study
from benchmark.runs.run import never_prune

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH = "cnn_jepa.predictor_depth"


@pytest.mark.slow
def test_a_trial_is_a_point_and_its_value_the_mean_of_its_seeds(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    assert sweep.work() == 0
    record = sweep.write()
    (study,) = record.studies
    assert {trial.parameters[DEPTH]: trial.value for trial in study.trials} == {1: 41.5, 2: 42.5, 3: 43.5}
    assert {trial.state for trial in study.trials} == {"complete"}
    assert [[run.seed for run in trial.runs] for trial in study.trials] == [[0, 1]] * 3
    assert record.device_hours == pytest.approx(6 * 0.01)
    assert {spec.purpose for spec in sweep.runs.executed} == {"trial"}
    assert set(sweep.runs.pruners) == {never_prune}
    assert sweep.studies[0].best().params == {DEPTH: 3}
    assert read_study(sweep.folder / "study.json") == record
    assert study.parameters[DEPTH].reference == "3"  # the recipe's
    rows = list(csv.DictReader((sweep.folder / "trials.csv").open()))
    assert len(rows) == 6
    assert {(row[DEPTH], row["seed"], row["linear_validation_top1"]) for row in rows} >= {("3", "1", "44.0")}


@pytest.mark.slow
def test_where_all_trials_failed_there_is_a_table_and_a_report(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(confirm_seeds=[7])
    sweep.runs.outcomes = MagicMock(pop=lambda *_: "failed")
    assert sweep.work() == 3 and sweep.confirm() == 0
    assert "cnn_jepa: not all trials are done, so that no point is confirmed yet" in sweep.said
    assert [trial.message for trial in sweep.write().studies[0].trials] == ["seed 0: failed"] * 3
    write_pages([sweep.folder], sweep.folder / "report")
    assert "seed 0: failed" in (sweep.folder / "report" / "trials-depth.csv").read_text()
    assert "depth" in (sweep.folder / "report" / "report.md").read_text()


@pytest.mark.slow
def test_fewer_trials_than_before_are_no_more_than_all(open_sweep: Callable[..., Any]) -> None:
    open_sweep(trials=3).work()
    record = open_sweep(trials=2).write()
    assert (record.trials_wanted, len(record.studies[0].trials)) == (3, 3)
