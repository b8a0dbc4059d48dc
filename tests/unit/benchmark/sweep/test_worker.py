"""Studies, queues and workers, with runs that are made up."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import re
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
from optuna.trial import TrialState
from rich.console import Console

from benchmark.analysis.fronts import front_trials
from benchmark.cli.console import ConsoleReporter
from benchmark.cli.pages import write_pages
from benchmark.errors import UserError
from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.records.folder import read_record
from benchmark.records.study import read_study
from benchmark.sweep import study as storage_module
from benchmark.sweep.study import quiet, worker_lock
from benchmark.sweep.supervise import RunFailedError, StoppedError, Supervisor
from benchmark.sweep.sweep import Sweep
from benchmark.sweep.worker import best_trial

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEPTH, LR = "cnn_jepa.predictor_depth", "cnn_jepa.optimizer.lr"
RATE = {"low": 0.0001, "high": 0.01, "log": True}
HOPELESS = 4  # number of a trial that hyperband compares with the one before, in its strictest bracket


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
    assert sweep.said[-1] == "on fresh seeds: 2 of 2 done"
    assert any(re.fullmatch("trials: 1 of 3 done, about .* left", line) for line in sweep.said)


def test_the_entry_itself_stands_beside_its_best_point_on_fresh_seeds(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(confirm_seeds=[7, 8], confirm_recipe=True, parameters={DEPTH: {"values": [1, 4]}})
    sweep.work()
    assert sweep.confirm() == 0
    confirmed = [job for job in sweep.supervisor.jobs if job.purpose == "result"]
    assert [(job.experiment["entries"][0]["name"], *job.experiment["seeds"], job.tags) for job in confirmed] == [
        (name, seed, tags)
        for seed in (7, 8)
        for name, tags in (("cnn_jepa.predictor_depth-4", ("tuned", "best of 2 trials")), ("cnn_jepa", ("untuned",)))
    ]
    (recipe,) = {json.dumps(job.experiment["entries"]) for job in confirmed if "tuned" not in job.tags}
    assert "predictor_depth" not in recipe


def test_a_recipe_that_is_its_own_best_point_is_trained_once(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(confirm_seeds=[7], confirm_recipe=True)  # three layers are both the best and the default
    sweep.work()
    assert sweep.confirm() == 0
    (confirmed,) = [job for job in sweep.supervisor.jobs if job.purpose == "result"]
    assert confirmed.tags == ("tuned", "best of 3 trials", "as the recipe has it")


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
    assert sum(line.startswith("cnn_jepa, trial ") and line.endswith(": seed 1: failed") for line in sweep.said) == 1
    with (console := Console(width=200)).capture() as shown:
        ConsoleReporter(False, console).study(record)
    assert "1 of 3 trials done, 2 failed; 4 runs took" in shown.get()
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


def _take_part(sweep: Any, everybody: Any, log: Path) -> None:
    """A worker's process: its first run waits for the other one's, so that both have one."""
    mine = Sweep(sweep.asked, sweep.dataset, sweep.place, lambda text: None)
    made_up = sweep.supervisor.run

    def run(job: Any, tell: Any, judge: Any) -> Path:
        with log.open("a") as file:
            file.write(f"{os.getpid()} {job.experiment['entries'][0]['name']}\n")
        if log.read_text().count(f"{os.getpid()} ") == 1:
            everybody.wait(60)
        found: Path = made_up(job, tell, judge)
        return found

    sweep.supervisor.run = run
    mine.supervisor = sweep.supervisor
    mine.work()


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_workers_share_a_queue_and_each_run_is_carried_out_once(
    open_sweep: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    url = None if kind == "sqlite" else f"journal:{tmp_path / 'study.log'}"
    sweep = open_sweep(storage=url, parameters={DEPTH: {"low": 1, "high": 8}}, seeds=[0])
    forks, log = multiprocessing.get_context("fork"), tmp_path / "runs.txt"
    everybody = forks.Barrier(2)
    workers = [forks.Process(target=_take_part, args=(sweep, everybody, log)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    runs = [line.split() for line in log.read_text().splitlines()]
    assert sorted(name for _, name in runs) == [f"cnn_jepa.predictor_depth-{depth}" for depth in range(1, 9)]
    assert {int(process) for process, _ in runs} == {worker.pid for worker in workers}
    assert [trial.state.name for trial in open_sweep(
        storage=url, parameters={DEPTH: {"low": 1, "high": 8}}, seeds=[0]
    ).studies[0].trials()] == ["COMPLETE"] * 8  # fmt: skip


def test_a_trial_that_fell_silent_elsewhere_is_taken_up(
    open_sweep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "GRACE", 5)  # longer than a slow machine takes for the other trials
    sweep = open_sweep()
    one = sweep.studies[0]
    with quiet():
        trial = one.study.ask()
        trial.set_user_attr("worker", "anothermachine")
        one.study._storage.record_heartbeat(trial._trial_id)
    sweep.work()  # waits until the heartbeat is too old
    assert _states(sweep) == ["COMPLETE"] * 3
    assert any("waiting for trials that other workers have: 1" in line for line in sweep.said)


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_hopeless_runs_are_given_up_and_say_what_they_cost(open_sweep: Callable[..., Any], pruner: str) -> None:
    # Falling with the learning rate, so that some are given up.
    sweep = open_sweep(
        parameters={LR: RATE}, sampler="random", trials=8, pruner=pruner, seeds=[0],
        score=lambda experiment, seed: 50 - 1000 * experiment["optimizer"]["lr"],
    )  # fmt: skip
    sweep.work()
    record = sweep.write()
    trials = record.studies[0].trials
    pruned = [trial for trial in trials if trial.state == "pruned"]
    complete = [trial for trial in trials if trial.state == "complete"]
    assert pruned and len(complete) >= 4 and len(pruned) + len(complete) == 8
    assert min(trials, key=lambda trial: trial.parameters[LR]) in complete  # the best is never given up
    assert all(trial.value is None and trial.runs[0].status == "pruned" for trial in pruned)
    # At the second of four points at the earliest, which is half of a run's 0.01 device-hours.
    costs = [trial.runs[0].device_hours for trial in pruned]
    assert min(costs) == pytest.approx(0.005) and max(costs) < 0.01
    assert record.device_hours == pytest.approx(0.01 * len(complete) + sum(costs))
    assert all(job.judged for job in sweep.supervisor.jobs)


def test_a_real_run_is_given_up_by_hyperband(
    open_sweep: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs before it are made up, and better than anything that so few steps can reach."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    sweep = open_sweep(
        parameters={LR: RATE}, sampler="random", trials=HOPELESS + 1, pruner="hyperband", seeds=[0],
        score=lambda experiment, seed: 100.0,
    )  # fmt: skip
    made_up, real = sweep.supervisor.run, Supervisor().run
    sweep.supervisor.run = lambda *asked: (real if len(sweep.supervisor.jobs) == HOPELESS else made_up)(*asked)
    sweep.work()
    trial = sweep.write().studies[0].trials[HOPELESS]
    assert (trial.state, trial.message) == ("pruned", "seed 0: pruned (given up at 50% of its budget)")
    (run,) = trial.runs
    record = read_record(sweep.folder / run.record)
    assert record.status == "pruned" and record.ledger is not None and record.ledger.steps == 2  # of four
    assert run.device_hours == record.ledger.device_hours > 0
    assert [progress for progress, _, _ in run.curve] == [0.25, 0.5]


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


def test_of_a_front_the_most_accurate_point_is_confirmed(open_sweep: Callable[..., Any]) -> None:
    widths = {"backbone.width": {"values": [8, 16, 24, 32]}}
    sweep = open_sweep(parameters=widths, sampler="nsga2", trials=10, seeds=[0], confirm_seeds=[7])
    # 24 is as accurate as 16 for more, and 32 less accurate for even more: neither is on the front.
    scores = {8: 40.0, 16: 50.0, 24: 50.0, 32: 45.0}
    sweep.supervisor.score = lambda experiment, seed: scores[experiment["backbone"]["width"]]
    sweep.supervisor.cost = lambda experiment: 3.6 * experiment["backbone"]["width"]
    sweep.work()
    record = sweep.write()
    tried = [trial.parameters["backbone.width"] for trial in record.studies[0].trials]
    assert set(tried) == {8, 16, 24, 32}
    assert [trial.parameters["backbone.width"] for trial in front_trials(record.studies[0])] == [8, 16]
    assert sweep.confirm() == 0
    (job,) = [job for job in sweep.supervisor.jobs if job.purpose == "result"]
    assert job.experiment["backbone"]["width"] == 16
    assert any(line.endswith("fresh seed 7: the front's most accurate point, with its test") for line in sweep.said)
    with (console := Console(width=200)).capture() as shown:
        ConsoleReporter(False, console).study(record)
    marked = [line for line in shown.get().splitlines() if "*" in line]
    assert [re.findall(r"backbone.width=(\d+)", line) for line in marked] == [["16"], ["8"]]


@pytest.mark.parametrize("sampler", ["grid", "nsga2"])
def test_where_no_trial_is_complete_that_is_said_once(open_sweep: Callable[..., Any], sampler: str) -> None:
    sweep = open_sweep(sampler=sampler, trials=2, confirm_seeds=[7, 8])
    sweep.supervisor.outcomes = MagicMock(pop=lambda *_: "diverged")
    assert sweep.work() == 0 and sweep.confirm() == 0
    assert _states(sweep) == ["PRUNED"] * 2
    assert sum("no trial is complete, so that there is nothing to confirm" in line for line in sweep.said) == 1


def test_where_all_trials_failed_there_is_a_table_and_a_report(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(confirm_seeds=[7])
    sweep.supervisor.outcomes = MagicMock(pop=lambda *_: RunFailedError("the run's process ended with code -9"))
    assert sweep.work() == 3 and sweep.confirm() == 0
    assert "cnn_jepa: not all trials are done, so that no point is confirmed yet" in sweep.said
    assert [trial.message for trial in sweep.write().studies[0].trials] == [
        "seed 0: the run's process ended with code -9"
    ] * 3
    write_pages([sweep.folder], sweep.folder / "report")
    assert "ended with code -9" in (sweep.folder / "report" / "trials-depth.csv").read_text()
    assert "depth" in (sweep.folder / "report" / "report.md").read_text()


def test_fewer_trials_than_before_are_no_more_than_all(open_sweep: Callable[..., Any]) -> None:
    open_sweep(trials=3).work()
    record = open_sweep(trials=2).write()
    assert (record.trials_wanted, len(record.studies[0].trials)) == (3, 3)


def test_a_job_says_all_that_a_run_needs(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep()
    sweep.work()
    job = sweep.supervisor.jobs[0]
    assert json.loads(job.model_dump_json())["experiment"]["name"] == "depth"
    assert job.experiment["seeds"] == [0] and len(job.experiment["entries"]) == 1
    assert job.experiment["reference"] is None
