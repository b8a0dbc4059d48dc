"""A study whose storage is lost comes back from its record, and another study's record is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from optuna.trial import TrialState

from benchmark.errors import UserError
from benchmark.sweep.restore import pruning_step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TPE: dict[str, Any] = {
    "sampler": "tpe",
    "trials": 13,
    "pruner": "median",
    "seeds": [0],
    "parameters": {
        "cnn_jepa.predictor_depth": {"low": 1, "high": 9},
        "cnn_jepa.optimizer.lr": {"low": 0.0003, "high": 0.03, "log": True},
        "cnn_jepa.masking.block_sizes": {"values": [[[1, 2]], [[2, 1]], None]},
    },
}


def _outcomes(sweep: Any) -> list[tuple[Any, ...]]:
    return [
        (trial.user_attrs["point"], trial.state, trial.params, trial.values, trial.intermediate_values)
        for queue in sweep.studies
        for trial in queue.outcomes()
    ]


def _lose(storage: Path) -> None:
    for path in storage.parent.glob(f"{storage.name}*"):
        path.unlink()


def test_finished_trials_come_back_and_only_new_ones_run(open_sweep: Callable[..., Any], tmp_path: Path) -> None:
    first = open_sweep(**_TPE)
    first.work()
    record = first.write()
    assert {trial.state for trial in record.studies[0].trials} == {"complete", "pruned"}
    before = _outcomes(first)
    _lose(tmp_path / "out" / "depth" / "study.db")

    again = open_sweep(**{**_TPE, "trials": 14})
    assert "cnn_jepa: 13 trials taken from study.json; the storage had none" in again.said
    restored = _outcomes(again)[:13]
    # The fixture's runs leave no history, in which real ones have what the pruner was told.
    assert [outcome[:3] for outcome in restored] == [outcome[:3] for outcome in before]
    assert [values for _, state, _, values, _ in restored if state == TrialState.COMPLETE] == [
        values for _, state, _, values, _ in before if state == TrialState.COMPLETE
    ]
    again.work()
    assert len(again.runs.executed) == 1
    more = again.write().studies[0]
    assert more.trials[:13] == record.studies[0].trials and more.trials[13].state in ("complete", "pruned")


def test_what_the_pruner_was_told_comes_back_from_the_curves(open_sweep: Callable[..., Any], tmp_path: Path) -> None:
    sweep = open_sweep()
    sweep.work()
    path = tmp_path / "out" / "depth" / "study.json"
    sweep.write()
    study = json.loads(path.read_text())
    for place, run in enumerate(study["studies"][0]["trials"][0]["runs"]):
        run["curve"] = [[0.26, 30.0 + place, 20.0 + place], [0.5, 40.0, 21.0], [1.0, 50.0, 22.0]]
    study["studies"][0]["trials"][0].update(state="pruned", value=None)
    path.write_text(json.dumps(study))
    _lose(path.with_name("study.db"))

    (trial, *_) = open_sweep().studies[0].outcomes()
    assert trial.state == TrialState.PRUNED and trial.value == 22.0
    assert trial.intermediate_values == {0: 20.0, 1: 21.0, 3: 22.0, 4: 21.0, 5: 21.0, 7: 22.0}
    assert [pruning_step(1, progress, 4) for progress in (0.26, 0.5, 1.0)] == [4, 5, 7]


def test_two_objectives_come_back(open_sweep: Callable[..., Any], tmp_path: Path) -> None:
    search = {"sampler": "nsga2", "trials": 4}
    first = open_sweep(**search)
    first.work()
    first.write()
    _lose(tmp_path / "out" / "depth" / "study.db")
    assert _outcomes(open_sweep(**search)) == _outcomes(first)


@pytest.mark.parametrize(
    "changes",
    [
        {"tiny": {"batch_size": 8}},
        {"parameters": {"cnn_jepa.predictor_depth": {"values": [3, 4, 5]}}},
    ],
)
def test_another_studys_record_is_refused_and_kept(
    open_sweep: Callable[..., Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    sweep = open_sweep()
    sweep.work()
    sweep.write()
    path = tmp_path / "out" / "depth" / "study.json"
    before = path.read_bytes()
    _lose(path.with_name("study.db"))
    with pytest.raises(
        UserError, match=r"study\.json: trial 0 of 'cnn_jepa' was run with other settings.*--study NAME"
    ):
        open_sweep(**changes)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1, 0]}, r"seeds is \[0, 1\], in this sweep \[1, 0\]"),
        ({"seeds": [0, 1, 2]}, r"seeds is \[0, 1\], in this sweep \[0, 1, 2\]"),
        ({"pruner": "median"}, "pruner is none, in this sweep median"),
        ({"sampler": "random", "trials": 3}, "sampler is grid, in this sweep random"),
    ],
)
def test_a_record_of_other_rules_is_refused(
    open_sweep: Callable[..., Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    sweep = open_sweep(pruner="none", sampler="grid")
    sweep.work()
    sweep.write()
    _lose(tmp_path / "out" / "depth" / "study.db")
    with pytest.raises(UserError, match=rf"study\.json: {message}.*--study NAME"):
        open_sweep(**{"pruner": "none", "sampler": "grid", **changes})


def test_a_complete_trial_with_fewer_seeds_is_not_taken(open_sweep: Callable[..., Any], tmp_path: Path) -> None:
    sweep = open_sweep()
    sweep.work()
    sweep.write()
    path = tmp_path / "out" / "depth" / "study.json"
    record = json.loads(path.read_text())
    del record["studies"][0]["trials"][1]["runs"][1]
    path.write_text(json.dumps(record))
    _lose(path.with_name("study.db"))
    with pytest.raises(UserError, match="trial 1 of 'cnn_jepa' was run with other settings"):
        open_sweep()


def test_a_record_that_cannot_be_read_is_named(open_sweep: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "out" / "depth" / "study.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(UserError, match=r"study\.json.*--study NAME"):
        open_sweep()
