"""Where studies are kept, and their queues: dead workers, silent ones, several at once."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from benchmark.errors import UserError
from benchmark.sweep import study as storage_module
from benchmark.sweep.study import RETRIES, check_storage, open_storage, quiet, worker_lock
from benchmark.sweep.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEPTH = "cnn_jepa.predictor_depth"


def test_a_storage_that_fails_on_the_way_is_said_in_a_line(
    open_sweep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StorageInternalError("An exception is raised.\nat length") from OSError("the server is gone\nmore")

    message = r"the study's storage failed \(the server is gone\); the same command resumes from here$"
    sweep = open_sweep()
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "get_trials", fail)
        for step in (sweep.work, sweep.write, open_sweep):
            with pytest.raises(UserError, match=message):
                step()
    assert sweep.work() == 0


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
    for content in ("what a program said\n", '{"op_code": 4}\n{\n{"op_code": 4}\n', '{"op_code": 99}\n'):
        (tmp_path / "b.log").write_text(content)
        with pytest.raises(UserError, match=r"--storage .*b\.log: is no journal of studies that .* a new"):
            open_storage(f"journal:{tmp_path / 'b.log'}", tmp_path)
        assert (tmp_path / "b.log").read_text() == content
    for place in (tmp_path / "no" / "such" / "c.log", tmp_path):
        with pytest.raises(UserError, match="cannot be written"):
            open_storage(f"journal:{place}", tmp_path)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE version_info (version_info_id INTEGER, schema_version INTEGER, x TEXT)")
    (tmp_path / "text.db").write_text("no database " * 100)
    for name in ("other.db", "text.db"):
        with pytest.raises(UserError, match=rf"{name}: cannot be used \(.+\)$"):
            open_storage(f"sqlite:///{tmp_path / name}", tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        open_storage(None, tmp_path / "file")


def _states(sweep: Any) -> list[str]:
    return [trial.state.name for one in sweep.studies for trial in one.outcomes()]


def test_the_same_command_does_nothing_twice_and_goes_on_with_more_trials(open_sweep: Callable[..., Any]) -> None:
    first = open_sweep(trials=2)
    first.work()
    again = open_sweep(trials=2)
    again.work()
    assert again.runs.executed == []
    more = open_sweep(trials=3)
    more.work()
    assert len(more.runs.executed) == 2  # the third point's seeds
    assert _states(more) == ["COMPLETE"] * 3


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


def test_a_trial_whose_workers_keep_dying_is_given_up_until_the_next_command(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(trials=1, seeds=[0])
    one = sweep.studies[0]
    for death in range(RETRIES + 1):
        with quiet():
            trial = one.study.ask()
            trial.set_user_attr("worker", f"worker{death}")
            (sweep.folder / ".workers" / f"worker{death}").mkdir(parents=True)
            one.take_up_dead()
        assert len(one.trials(TrialState.WAITING)) == (death < RETRIES)
    (outcome,) = sweep.write().studies[0].trials
    assert outcome.state == "failed" and "its process died (4 times)" in outcome.message
    again = open_sweep(trials=1, seeds=[0])
    assert again.work() == 0 and _states(again) == ["COMPLETE"]


def test_an_interrupted_trial_may_be_interrupted_any_number_of_times(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(trials=1, seeds=[0])
    one = sweep.studies[0]
    for _ in range(RETRIES + 2):
        with quiet():
            number = one.study.ask().number
        one.put_back(number)
        assert [trial.state.name for trial in one.outcomes()] == ["WAITING"]


def test_an_address_is_checked_without_opening_it(tmp_path: Path) -> None:
    check_storage(f"sqlite:///{tmp_path / 'study.db'}")
    check_storage(f"journal:{tmp_path / 'study.log'}")
    assert not list(tmp_path.iterdir())
    for url, message in (
        ("nonsense", "--storage: not the address of a storage"),
        ("oracle+nodriver://user:secret@host/x", r"--storage oracle\+nodriver://user:\*\*\*@host/x: cannot be used"),
        (f"{tmp_path}/none/study.log", r"study\.log: cannot be written \(No such file or directory\)"),
    ):
        with pytest.raises(UserError, match=message):
            check_storage(url)
