"""How many processes there are to be, and that a group which does not come about is an error."""

from __future__ import annotations

import os

import pytest
import torch
from lightning_fabric import Fabric

from benchmark.errors import UserError, is_spokesman
from benchmark.machine.ranks import Ranks, World, find_world, join

_TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*_TORCHRUN, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def _set(monkeypatch: pytest.MonkeyPatch, *without: str, **more: str) -> None:
    for name, value in {**_TORCHRUN, **more}.items():
        if name not in without:
            monkeypatch.setenv(name, value)


def test_devices_are_processes_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_world(None) == World(1, 1)
    assert find_world(3) == World(3, 3)
    with pytest.raises(UserError, match="--devices is 0; expected at least 1"):
        find_world(0)
    # As in a process that has been started for the second of three devices.
    _set(monkeypatch, "RANK", WORLD_SIZE="3")
    assert find_world(3) == World(3, 3)


def test_torchruns_processes_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, LOCAL_WORLD_SIZE="2")
    assert find_world(None) == find_world(4) == World(4, 2, launched=True)
    with pytest.raises(UserError, match="--devices is 2, but torchrun has started 4 processes"):
        find_world(2)
    monkeypatch.delenv("MASTER_PORT")
    with pytest.raises(UserError, match="has no MASTER_PORT"):
        find_world(None)


def test_half_an_environment_is_no_silent_single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert find_world(None) == World(1, 1)
    with pytest.raises(UserError, match="has no RANK, WORLD_SIZE"):
        find_world(2)


def test_a_missing_group_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fabric, "launch", lambda self: None)
    with pytest.raises(UserError, match="2 devices were asked for, but the group has 0 processes"):
        join("cpu", World(2, 2))

    def fail(self: Fabric) -> None:
        raise RuntimeError("the store does not answer")

    monkeypatch.setattr(Fabric, "launch", fail)
    with pytest.raises(UserError, match=r"their processes form no group \(the store does not answer\)"):
        join("cpu", World(2, 2))


def test_one_process_of_a_machine_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert is_spokesman()  # a variable that somebody left behind
    _set(monkeypatch)
    assert not is_spokesman()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert is_spokesman()


def test_alone_a_process_agrees_with_itself() -> None:
    ranks = Ranks(torch.device("cpu"))
    assert ranks.is_first and ranks.processes == (os.getpid(),)
    assert ranks.agree(1.5, True) == (1.5, True)
    assert ranks.mean({"loss": 0.1}) == {"loss": 0.1}
    assert (ranks.sum(3.0), ranks.slowest(2.0), ranks.any(False)) == (3.0, 2.0, False)
    assert ranks.first(lambda: "made") == ranks.in_turn(lambda: "made") == "made"
    assert ranks.order("key") == "key" and ranks.finish_run(True) is True
