"""Storages: addresses, failures, and trials of workers that died or fell silent."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from benchmark.errors import UserError
from benchmark.sweep import storage
from benchmark.sweep.storage import RETRIES, check_storage, open_storage, quiet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _states(sweep: Any) -> list[str]:
    return [trial.state.name for queue in sweep.studies for trial in queue.outcomes()]


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


@pytest.mark.slow
def test_a_storage_that_fails_during_a_sweep_is_reported_in_a_line(
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


@pytest.mark.slow
def test_a_trial_that_fell_silent_elsewhere_is_taken_up(
    open_sweep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "GRACE", 5)  # longer than a slow machine takes for the other trials
    sweep = open_sweep()
    queue = sweep.studies[0]
    with quiet():
        trial = queue.study.ask()
        trial.set_user_attr("worker", "anothermachine")
        queue.study._storage.record_heartbeat(trial._trial_id)
    sweep.work()  # waits until the heartbeat is too old
    assert _states(sweep) == ["COMPLETE"] * 3
    assert any("waiting for trials that other workers have: 1" in line for line in sweep.said)


@pytest.mark.slow
def test_a_trial_whose_workers_keep_dying_fails_until_the_next_command(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(trials=1, seeds=[0])
    queue = sweep.studies[0]
    for death in range(RETRIES + 1):
        with quiet():
            trial = queue.study.ask()
            trial.set_user_attr("worker", f"worker{death}")
            (sweep.folder / ".workers" / f"worker{death}").mkdir(parents=True)
            queue.take_up_dead()
        assert len(queue.trials(TrialState.WAITING)) == (death < RETRIES)
    (outcome,) = sweep.write().studies[0].trials
    assert outcome.state == "failed" and "its process died (4 times)" in outcome.message
    again = open_sweep(trials=1, seeds=[0])
    assert again.work() == 0 and _states(again) == ["COMPLETE"]


def test_a_file_in_a_missing_folder_is_refused_without_opening_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--storage sqlite:///.*: cannot be used \(no folder .*nothere\)"):
        check_storage(f"sqlite:///{tmp_path / 'nothere' / 'x.db'}")
    check_storage(f"sqlite:///{tmp_path / 'x.db'}")
    assert not (tmp_path / "x.db").exists()
