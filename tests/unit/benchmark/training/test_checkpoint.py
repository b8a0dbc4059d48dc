"""Saved states: taken up when they are this run's, and never executed. Encoders come back as they were."""

from __future__ import annotations

import errno
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from benchmark.errors import UserError
from benchmark.training.checkpoint import ENCODER_FILE, State, discard_state, load_encoder, load_state, save_state

if TYPE_CHECKING:
    from pathlib import Path

STATE = State(
    key="k", step=7, method={"w": torch.arange(3.0)}, optimizer={"state": {0: torch.ones(2)}},
    ledger={"seconds": {"training": 1.5}}, history=[{"loss": 0.25}],
)  # fmt: skip


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    save_state(tmp_path, STATE)
    loaded = load_state(tmp_path, "k", print)
    assert loaded is not None
    assert (loaded.step, loaded.history) == (7, [{"loss": 0.25}])
    assert torch.equal(loaded.method["w"], torch.arange(3.0))
    discard_state(tmp_path)
    assert load_state(tmp_path, "k", print) is None


def test_another_runs_a_truncated_and_a_foreign_state_are_left_alone(tmp_path: Path) -> None:
    save_state(tmp_path, STATE)
    assert load_state(tmp_path, "another", print) is None
    path = tmp_path / "state.pt"
    content = path.read_bytes()
    for bad in (content[: len(content) // 2], b"", b"no state at all", pickle.dumps({"version": 1})):
        path.write_bytes(bad)
        assert load_state(tmp_path, "k", print) is None


def test_the_one_before_serves_where_the_last_is_broken(tmp_path: Path) -> None:
    save_state(tmp_path, replace(STATE, step=5))
    save_state(tmp_path, replace(STATE, step=6))
    save_state(tmp_path, STATE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-previous.pt", "state.pt"]
    last = tmp_path / "state.pt"
    cut = last.read_bytes()[:100]
    last.write_bytes(cut)
    said: list[str] = []
    loaded = load_state(tmp_path, "k", said.append)
    assert loaded is not None and loaded.step == 6
    assert said == [
        f"{last}: is damaged and cannot be resumed from; kept as state-damaged-1.pt; resuming from the state before "
        "it, step 6"
    ]
    assert (tmp_path / "state-damaged-1.pt").read_bytes() == cut and not last.exists()
    loaded = load_state(tmp_path, "k", said.append)  # also where there are no links: killed in the middle of a save
    assert loaded is not None and loaded.step == 6 and len(said) == 1
    discard_state(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
def test_a_sound_state_outlives_an_error_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    save_state(tmp_path, STATE)
    with monkeypatch.context() as patched:

        def fail(*_: Any, **__: Any) -> None:
            raise error

        patched.setattr(torch, "load", fail)
        with pytest.raises(type(error)):
            load_state(tmp_path, "k", print)
    loaded = load_state(tmp_path, "k", print)
    assert loaded is not None and loaded.step == 7


def test_it_is_said_where_no_state_is_left(tmp_path: Path) -> None:
    said: list[str] = []
    assert load_state(tmp_path, "k", said.append) is None and said == []
    save_state(tmp_path, STATE)
    assert load_state(tmp_path, "another", said.append) is None and said == []  # another run's, but sound
    for name in ("state.pt", "state-previous.pt"):
        (tmp_path / name).write_bytes(b"<html>")
    assert load_state(tmp_path, "k", said.append) is None
    assert [text.endswith("; starting from the beginning") for text in said] == [True, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-damaged-1.pt", "state-damaged-2.pt"]


class _Attack:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def test_a_pickled_command_is_not_executed(tmp_path: Path) -> None:
    torch.save({"version": 2, "key": _Attack(str(tmp_path / "owned"))}, tmp_path / "state.pt")
    assert load_state(tmp_path, "k", print) is None
    assert not (tmp_path / "owned").exists()


def test_an_encoder_is_loaded_frozen_with_the_weights_that_the_run_left(stored_run: Any, tmp_path: Path) -> None:
    record, encoder = stored_run({"name": "resnet18", "stem": "small", "width": 8})
    loaded = load_encoder(tmp_path, record)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.features(images), encoder.features(images))
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    assert (loaded.info.weights, loaded.info.dimension) == ("online", 64)


def test_a_file_that_is_missing_damaged_or_of_another_network_is_named(stored_run: Any, tmp_path: Path) -> None:
    record, _ = stored_run({"name": "resnet18", "stem": "small", "width": 8})
    other = record.model_copy(update={"config": {**record.config, "backbone": {"name": "resnet18", "width": 16}}})
    with pytest.raises(UserError, match=f"{ENCODER_FILE}: is not the encoder of the record beside it"):
        load_encoder(tmp_path, other)
    path = tmp_path / ENCODER_FILE
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=f"{ENCODER_FILE}: is not the encoder of the record beside it"):
        load_encoder(tmp_path, record)
    path.unlink()
    with pytest.raises(UserError, match="no such file; weights stay on the machine of the run"):
        load_encoder(tmp_path, record)
