"""Joining a group, and agreeing in one of a single process; `tests/integration/test_devices.py` has two."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import torch
from lightning_fabric import Fabric

from benchmark.errors import UserError
from benchmark.machine.launch import World
from benchmark.machine.locks import FOLDER_VARIABLE
from benchmark.machine.ranks import Ranks, held, join

if TYPE_CHECKING:
    from pathlib import Path


def test_a_missing_group_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fabric, "launch", lambda self: None)
    with pytest.raises(UserError, match="2 devices were asked for, but the group has 0 processes"):
        join("cpu", World(2, 2))

    def fail(self: Fabric) -> None:
        raise RuntimeError("the store does not answer")

    monkeypatch.setattr(Fabric, "launch", fail)
    with pytest.raises(UserError, match=r"their processes form no group \(the store does not answer\)"):
        join("cpu", World(2, 2))


def test_the_shell_of_a_slurm_job_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_JOB_NAME": "train.sh", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    assert join("cpu", World()).fabric("32-true").world_size == 1


def test_alone_a_process_agrees_with_itself() -> None:
    ranks = Ranks(torch.device("cpu"))
    assert ranks.is_first and ranks.processes == (os.getpid(),)
    assert ranks.agree(1.5, True) == (1.5, True)
    assert ranks.mean({"loss": 0.1}) == {"loss": 0.1}
    assert (ranks.sum(3.0), ranks.slowest(2.0), ranks.any(False)) == (3.0, 2.0, False)
    assert ranks.first(lambda: "result") == ranks.in_turn(lambda: "result") == "result"
    ranks.begin_run()
    assert ranks.finish_run(True) is True


def test_one_process_of_a_machine_holds_its_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    cpu = torch.device("cpu")
    with held("cpu", None, share=False) as (ranks, locks):
        assert (ranks.size, ranks.device, len(locks)) == (1, cpu, 1)
        assert [path.name for path in tmp_path.glob("*.lock")] == [f"cpu.{os.getpid()}.lock"]
    group = Ranks(cpu, 0, World(2, 2))
    with held("cpu", group, share=False) as (ranks, locks):
        assert (ranks, len(locks)) == (group, 1)
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with held("cpu", Ranks(cpu, 1, World(2, 2)), share=False) as (_, locks):
        assert not locks and not list(tmp_path.glob("*.lock"))
