"""Studies, queues and workers, with runs that are made up."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.trial import TrialState

from benchmark.errors import UserError
from benchmark.study_records import read_study
from benchmark.sweep import storage as storage_module
from benchmark.sweep.storage import open_storage, quiet, worker_lock
from benchmark.sweep.supervise import RunFailedError, StoppedError
from benchmark.sweep.worker import best_trial

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEPTH, LR = "cnn_jepa.predictor_depth", "cnn_jepa.optimizer.lr"
RATE = {"low": 0.0001, "high": 0.01, "log": True}


def _states(sweep: Any) -> list[str]:
    return [trial.state.name for one in sweep.studies for trial in one.outcomes()]


def test_a_trial_is_a_point_and_its_value_the_mean_of_its_seeds(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    assert sweep.work() == 0
    record = sweep.write()
    (study,) = record.studies
    assert {trial.parameters[DEPTH]: trial.value for trial in study.trials} == {1: 41.5, 2: 42.5, 3: 43.5}
    assert {trial.state for trial in study.trials} == {"complete"}
    assert [[run.seed for run in trial.runs] for trial in study.trials] == [[0, 1]] * 3
    assert record.device_hours == pytest.approx(6 * 0.01)
    assert all(job.purpose == "trial" and not job.judged for job in sweep.supervisor.jobs)
    assert best_trial(sweep.studies[0]).params == {DEPTH: 3}
    assert read_study(sweep.folder / "study.json") == record
    rows = list(csv.DictReader((sweep.folder / "trials.csv").open()))
    assert len(rows) == 6
    assert {(row[DEPTH], row["seed"], row["linear_validation_top1"]) for row in rows} >= {("3", "1", "44.0")}


def test_the_same_command_does_nothing_twice_and_goes_on_with_more_trials(open_sweep: Callable[..., Any]) -> None:
    first = open_sweep(trials=2)
    first.work()
    again = open_sweep(trials=2)
    again.work()
    assert again.supervisor.jobs == []
    more = open_sweep(trials=3)
    more.work()
    assert len(more.supervisor.jobs) == 2  # the third point's seeds
    assert _states(more) == ["COMPLETE"] * 3


def test_entries_take_turns_and_have_as_many_trials(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(
        entries=["cnn_jepa", "byol"], parameters={"*.optimizer.lr": RATE}, sampler="random", trials=3, seeds=[0]
    )
    sweep.work()
    methods = [job.experiment["entries"][0]["method"] for job in sweep.supervisor.jobs]
    assert methods == ["cnn_jepa", "byol"] * 3


def test_the_best_point_is_trained_on_fresh_seeds_and_tagged(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(confirm_seeds=[7, 8])
    sweep.work()
    assert sweep.confirm() == 0
    confirmed = [job for job in sweep.supervisor.jobs if job.purpose == "result"]
    assert [job.experiment["seeds"] for job in confirmed] == [[7], [8]]
    assert {job.experiment["entries"][0]["name"] for job in confirmed} == {"cnn_jepa.predictor_depth-3"}
    assert all(job.tags == ("tuned", "best of 3 trials") and not job.judged for job in confirmed)


def test_a_failed_run_fails_its_trial_alone_and_is_tried_again(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.supervisor.outcomes = {
        ("cnn_jepa.predictor_depth-2", 1): "failed",
        ("cnn_jepa.predictor_depth-1", 0): RunFailedError("the run's process ended with code -9"),
    }
    assert sweep.work() == 2
    record = sweep.write()
    states = {trial.parameters[DEPTH]: (trial.state, trial.message) for trial in record.studies[0].trials}
    assert states[3] == ("complete", "")
    assert states[2] == ("failed", "seed 1: failed")
    assert states[1] == ("failed", "seed 0: the run's process ended with code -9")
    assert record.device_hours == pytest.approx(4 * 0.01)  # what failed has cost, too
    again = open_sweep()
    assert again.work() == 0
    assert _states(again) == ["COMPLETE"] * 3


def test_a_diverged_run_leaves_its_trial_without_a_value_for_good(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.supervisor.outcomes = {("cnn_jepa.predictor_depth-2", 0): "diverged"}
    assert sweep.work() == 0
    (trial,) = (trial for trial in sweep.write().studies[0].trials if trial.parameters[DEPTH] == 2)
    assert (trial.state, trial.value, trial.message) == ("pruned", None, "seed 0: diverged")
    assert open_sweep().work() == 0
    assert sorted(_states(open_sweep())) == ["COMPLETE", "COMPLETE", "PRUNED"]


def test_stopping_puts_the_trial_back_with_nothing_left_running(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.supervisor.outcomes = {(f"cnn_jepa.predictor_depth-{d}", 1): StoppedError() for d in (1, 2, 3)}
    with pytest.raises(StoppedError):
        sweep.work()
    assert sorted(_states(sweep)) == ["WAITING"] * 3
    again = open_sweep()
    again.work()
    assert _states(again) == ["COMPLETE"] * 3
    assert len(again.studies[0].trials(TrialState.COMPLETE)) == 3


def test_what_a_run_says_the_user_can_mend_ends_the_sweep_and_loses_nothing(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.supervisor.outcomes = {(f"cnn_jepa.predictor_depth-{d}", 0): UserError("disk full") for d in (1, 2, 3)}
    with pytest.raises(UserError, match="disk full"):
        sweep.work()
    assert set(_states(sweep)) == {"WAITING"}


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_dead_workers_trial_is_taken_up_at_once_and_a_living_ones_left(
    open_sweep: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    url = None if kind == "sqlite" else f"journal:{tmp_path / 'study.log'}"
    sweep = open_sweep(storage=url)
    one = sweep.studies[0]
    with worker_lock(sweep.folder) as living, quiet():
        held = one.study.ask()
        held.set_user_attr("worker", living)
        lost = one.study.ask()
        lost.set_user_attr("worker", "0123456789ab")
        (sweep.folder / ".workers" / "0123456789ab").mkdir()
        one.take_up_dead()
        assert [trial.number for trial in one.trials(TrialState.RUNNING)] == [held.number]
        assert not (sweep.folder / ".workers" / "0123456789ab").exists()
        points = [trial.user_attrs["point"] for trial in one.trials(TrialState.WAITING)]
        assert sorted(points) == sorted({0, 1, 2} - {held.user_attrs["point"]})
    # Its worker ended as well, without a word.
    (sweep.folder / ".workers" / living).mkdir(parents=True)
    other = open_sweep(storage=url)
    other.work()
    assert _states(other) == ["COMPLETE"] * 3


def test_a_trial_that_fell_silent_elsewhere_is_taken_up(
    open_sweep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "GRACE", 1)
    sweep = open_sweep()
    one = sweep.studies[0]
    with quiet():
        trial = one.study.ask()
        trial.set_user_attr("worker", "anothermachine")
        one.study._storage.record_heartbeat(trial._trial_id)
    sweep.work()  # waits until the heartbeat is too old
    assert _states(sweep) == ["COMPLETE"] * 3
    assert any("waiting for trials that other workers have: 1" in line for line in sweep.said)


def test_another_question_under_the_same_name_is_refused(open_sweep: Callable[..., Any]) -> None:
    open_sweep()
    for changes, message in (
        ({"seeds": [0, 1, 2]}, r"seeds is \[0, 1\] there and \[0, 1, 2\] here"),
        ({"parameters": {DEPTH: {"values": [1, 2]}}}, "parameters.cnn_jepa.predictor_depth.values"),
        ({"settings": {"cnn_jepa.kernel_size": 5}}, "first.kernel_size is 3 there and 5 here"),
        ({"settings": {"batch_size": 8}}, "experiment.batch_size is 16 there and 8 here"),
        ({"settings": {"dataset.shapes_seed": 1}}, "experiment.dataset.shapes_seed is None there and 1 here"),
        ({"sampler": "random", "trials": 3}, "sampler"),
    ):
        with pytest.raises(UserError, match=f"holds another study .*{message}"):
            open_sweep(**changes)


def test_pruned_runs_end_their_trial_and_cost_is_told(open_sweep: Callable[..., Any]) -> None:
    # Falling with the learning rate, so that some are given up.
    sweep = open_sweep(
        parameters={LR: RATE}, sampler="random", trials=8, pruner="median", seeds=[0],
        score=lambda experiment, seed: 50 - 1000 * experiment["optimizer"]["lr"],
    )  # fmt: skip
    sweep.work()
    record = sweep.write()
    states = [trial.state for trial in record.studies[0].trials]
    assert states.count("pruned") >= 1 and states.count("complete") >= 4
    pruned = [trial for trial in record.studies[0].trials if trial.state == "pruned"]
    assert all(trial.value is None and trial.runs[0].status == "pruned" for trial in pruned)
    assert all(trial.runs[0].device_hours == pytest.approx(0.01) for trial in pruned)
    assert all(job.judged for job in sweep.supervisor.jobs)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_learning_samplers_go_on_from_drawn_points(open_sweep: Callable[..., Any], sampler: str) -> None:
    options = {"parameters": {LR: RATE, DEPTH: {"low": 1, "high": 4}}, "sampler": sampler, "seeds": [0]}
    sweep = open_sweep(**options, trials=12)
    sweep.work()
    record = sweep.write()
    trials = record.studies[0].trials
    assert len(trials) == 12 and {trial.state for trial in trials} == {"complete"}
    assert set(record.studies[0].importances) == {LR, DEPTH}
    drawn = open_sweep(**{**options, "sampler": "random"}, trials=10, study="drawn").studies[0].space.points()
    assert [trial.parameters for trial in trials[:10]] == drawn
    if sampler == "nsga2":
        values = sweep.studies[0].trials(TrialState.COMPLETE)[0].values
        assert values[1] == pytest.approx(0.01)  # device-hours


def test_addresses_of_storages(tmp_path: Path) -> None:
    for url, message in (
        ("nonsense", "not the address of a storage; expected sqlite"),
        ("nosuchdb://me:secret@host/x", "cannot be used"),
        (f"sqlite:///{tmp_path}/no/such/folder/x.db", "cannot be used"),
        ("oracle+oracledb://me:secret@host/x", "its driver is not installed"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            open_storage(url, tmp_path)
        assert "secret" not in str(caught.value)
    assert isinstance(open_storage(str(tmp_path / "a.log"), tmp_path), optuna.storages.JournalStorage)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        open_storage(None, tmp_path / "file")


def test_a_job_says_all_that_a_run_needs(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.work()
    job = sweep.supervisor.jobs[0]
    assert json.loads(job.model_dump_json())["experiment"]["name"] == "depth"
    assert job.experiment["seeds"] == [0] and len(job.experiment["entries"]) == 1
    assert job.experiment["reference"] is None
