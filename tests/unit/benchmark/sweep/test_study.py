"""Where studies are kept, and what question a study answers."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from benchmark.errors import UserError
from benchmark.sweep.study import open_storage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEPTH = "cnn_jepa.predictor_depth"


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


def test_a_study_from_before_an_option_came_is_gone_on_with(open_sweep: Callable[..., Any]) -> None:
    sweep = open_sweep(parameters={"cnn_jepa.kernel_size": {"values": [3, 5]}})
    study = sweep.studies[0].study
    asked = dict(study.user_attrs["asked"])
    for part, key in (("first", "sync_batch_norm"), ("backbone", "patch_size"), ("first", "optimizer")):
        asked[part] = {name: value for name, value in asked[part].items() if name != key}
    asked["parameters"] = {"cnn_jepa.kernel_size": {"values": [3, 5]}}
    optimizer = dict(study.user_attrs["asked"]["first"]["optimizer"])
    del optimizer["clip"]
    asked["first"]["optimizer"] = optimizer
    study.set_user_attr("asked", asked)
    open_sweep(parameters={"cnn_jepa.kernel_size": {"values": [3, 5]}})
    # What the option is set to is still a part of the question.
    with pytest.raises(UserError, match=r"first\.sync_batch_norm is False there and True here"):
        study.set_user_attr("asked", asked)
        open_sweep(parameters={"cnn_jepa.kernel_size": {"values": [3, 5]}}, settings={"cnn_jepa.sync_batch_norm": True})


def test_a_storage_that_fails_on_the_way_is_said_in_a_line(
    open_sweep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StorageInternalError("An exception is raised.\nat length") from OSError("the server is gone\nmore")

    message = r"the study's storage failed \(the server is gone\); the same command goes on from here$"
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
