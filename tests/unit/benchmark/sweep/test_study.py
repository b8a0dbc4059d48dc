"""Studies: what resuming may change, and their queues with dead, interrupted and several workers."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING, Any

import pytest
from optuna.trial import TrialState

from benchmark.data.datasets import load_dataset
from benchmark.errors import UserError
from benchmark.sweep.storage import RETRIES, open_storage, quiet
from benchmark.sweep.study import open_study, worker_lock
from benchmark.sweep.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEPTH = "cnn_jepa.predictor_depth"


def _states(sweep: Any) -> list[str]:
    return [trial.state.name for queue in sweep.studies for trial in queue.outcomes()]


@pytest.mark.slow
def test_the_same_command_does_nothing_twice_and_continues_with_more_trials(open_sweep: Callable[..., Any]) -> None:
    first = open_sweep(trials=2)
    first.work()
    again = open_sweep(trials=2)
    again.work()
    assert again.runs.executed == []
    more = open_sweep(trials=3)
    more.work()
    assert len(more.runs.executed) == 2  # the third point's seeds
    assert _states(more) == ["COMPLETE"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_dead_workers_trial_is_taken_up_at_once_and_a_living_ones_left(
    open_sweep: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    url = None if kind == "sqlite" else f"journal:{tmp_path / 'study.log'}"
    sweep = open_sweep(storage=url)
    queue = sweep.studies[0]
    with worker_lock(sweep.folder) as living, quiet():
        held = queue.study.ask()
        held.set_user_attr("worker", living)
        lost = queue.study.ask()
        lost.set_user_attr("worker", "0123456789ab")
        (sweep.folder / ".workers" / "0123456789ab").mkdir()
        queue.take_up_dead()
        assert [trial.number for trial in queue.trials(TrialState.RUNNING)] == [held.number]
        assert not (sweep.folder / ".workers" / "0123456789ab").exists()
        points = [trial.user_attrs["point"] for trial in queue.trials(TrialState.WAITING)]
        assert sorted(points) == sorted({0, 1, 2} - {held.user_attrs["point"]})
    # Its worker ended as well, without a word.
    (sweep.folder / ".workers" / living).mkdir(parents=True)
    other = open_sweep(storage=url)
    other.work()
    assert _states(other) == ["COMPLETE"] * 3


def _take_part(sweep: Any, everybody: Any, log: Path) -> None:
    """A worker's process: its first run waits for the other one's, so that both have one."""
    mine = Sweep(sweep.resolved, sweep.dataset, sweep.options, lambda text: None, sweep.runs.stop_signal)
    made_up = sweep.runs.run

    def run(spec: Any, *arguments: Any, **options: Any) -> Any:
        with log.open("a") as file:
            file.write(f"{os.getpid()} {spec.entry.name}\n")
        if log.read_text().count(f"{os.getpid()} ") == 1:
            everybody.wait(60)
        return made_up(spec, *arguments, **options)

    sweep.runs.run = run
    mine.runs = sweep.runs
    mine.work()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_workers_share_a_queue_and_each_run_is_executed_once(
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


def test_an_interrupted_trial_may_be_interrupted_any_number_of_times(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(trials=1, seeds=[0])
    queue = sweep.studies[0]
    for _ in range(RETRIES + 2):
        with quiet():
            number = queue.study.ask().number
        queue.put_back(number)
        assert [trial.state.name for trial in queue.outcomes()] == ["WAITING"]


def test_trials_of_a_calibrated_budget_keep_its_record(resolve: Callable[..., Any], tmp_path: Path) -> None:
    resolved = resolve()
    dataset, storage = load_dataset(resolved.experiment.dataset, None), open_storage(None, tmp_path)
    arguments = (storage, resolved.spaces[0], tmp_path, "32", dataset)
    open_study(*arguments, "ab" * 16)
    assert open_study(*arguments, "ab" * 16).trials()
    with pytest.raises(UserError, match=f"step_cost is '{'ab' * 16}' there and '{'cd' * 16}' here"):
        open_study(*arguments, "cd" * 16)


@pytest.mark.slow
def test_another_study_under_the_same_name_is_refused(open_sweep: Callable[..., Any]) -> None:
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


@pytest.mark.slow
def test_a_study_from_before_an_option_came_is_resumed(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(parameters={"cnn_jepa.kernel_size": {"values": [3, 5]}})
    study = sweep.studies[0].study
    identity = dict(study.user_attrs["asked"])
    for part, key in (("first", "sync_batch_norm"), ("backbone", "patch_size"), ("first", "optimizer")):
        identity[part] = {name: value for name, value in identity[part].items() if name != key}
    identity["parameters"] = {"cnn_jepa.kernel_size": {"values": [3, 5]}}
    optimizer = dict(study.user_attrs["asked"]["first"]["optimizer"])
    del optimizer["clip"]
    identity["first"]["optimizer"] = optimizer
    study.set_user_attr("asked", identity)
    open_sweep(parameters={"cnn_jepa.kernel_size": {"values": [3, 5]}})
    # What the option is set to still belongs to the study.
    with pytest.raises(UserError, match=r"first\.sync_batch_norm is False there and True here"):
        study.set_user_attr("asked", identity)
        open_sweep(parameters={"cnn_jepa.kernel_size": {"values": [3, 5]}}, settings={"cnn_jepa.sync_batch_norm": True})


def test_a_trial_that_was_begun_comes_before_those_that_were_not(open_sweep: Callable[..., Any]) -> None:
    queue = open_sweep().studies[0]
    with quiet():
        first = queue.study.ask()
    queue.put_back(first.number)
    assert [trial.user_attrs["point"] for trial in queue.trials(TrialState.WAITING)][-1] == first.user_attrs["point"]
    again = open_sweep().studies[0]  # another command
    with quiet():
        order = [again.study.ask().user_attrs["point"] for _ in range(3)]
    assert order == [0, 1, 2] and first.user_attrs["point"] == 0
