"""Several devices compute what one computes, and leave one record."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

_SCRIPT = Path(__file__).with_name("share_batches.py")
_CUT = (
    *("byol", "supervised", "cnn_jepa_uneven", "ijepa_uneven"),
    *("simsiam", "dino", "ibot", "mae", "spark", "data2vec"),
)
_JEPAS = ("cnn_jepa", "cnn_jepa_dense", "cnn_jepa_terms", "cnn_jepa_batch", "ijepa", "ijepa_terms", "ijepa_batch")
_COMPARING = ("simclr", "vicreg", "barlow_twins", "moco_v3", "msn", "lejepa", "vicregl")
_WHOLE = (*_CUT, *_COMPARING, *_JEPAS)


def _start(*command: object, **environment: object) -> subprocess.Popen[str]:
    """A Python process of one thread."""
    added = {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **added},
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process and two come to, and the second of the two by itself."""
    folder = tmp_path_factory.mktemp("devices")
    group = {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
    processes = [_start(_SCRIPT, folder / "pair.pt", RANK=rank, LOCAL_RANK=rank, **group) for rank in range(2)]
    processes.append(_start(_SCRIPT, folder / "alone.pt"))
    for process in processes:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in ("alone", "pair", "pair-1")}


def _difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The largest, of logged scalars and weights, in units of 1 or of the value where that is larger."""
    pairs = [(a[name], b[name]) for a, b in zip(first["lines"], second["lines"], strict=True) for name in a]
    pairs = [(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)) for a, b in pairs if a != b]
    pairs += [(value, second["state"][name]) for name, value in first["state"].items()]
    return max(float(((a - b).abs() / b.abs().clamp(min=1)).max()) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("entry", _WHOLE)
def test_two_processes_equal_one_at_the_same_batch(outcomes: dict[str, Any], entry: str) -> None:
    alone, pair = (outcomes[name]["whole"][entry] for name in ("alone", "pair"))
    assert len(alone["lines"]) == 4
    assert alone["lines"][0]["loss"] != alone["lines"][-1]["loss"]
    assert _difference(pair, alone) < 1e-5


@pytest.mark.parametrize("entry", _WHOLE)
def test_all_ranks_hold_the_same_weights_and_history(outcomes: dict[str, Any], entry: str) -> None:
    first, second = (outcomes[name]["whole"][entry] for name in ("pair", "pair-1"))
    assert first["lines"] == second["lines"]
    assert all(torch.equal(value, second["state"][name]) for name, value in first["state"].items())


@pytest.mark.parametrize("entry", _CUT)
def test_micro_batches_equal_the_batch_where_there_is_no_batch_norm(outcomes: dict[str, Any], entry: str) -> None:
    expected = outcomes["alone"]["whole"][entry]
    for processes in ("alone", "pair"):
        assert _difference(outcomes[processes]["cut"][entry], expected) < 1e-5


def test_without_gathering_the_loss_would_be_another_one(outcomes: dict[str, Any]) -> None:
    alone, pair = (outcomes[name]["not gathered"]["simclr"] for name in ("alone", "pair"))
    assert _difference(pair, alone) > 1e-2


def test_ranks_agree(outcomes: dict[str, Any]) -> None:
    first, second = outcomes["pair"]["agreed"], outcomes["pair-1"]["agreed"]
    assert (first.pop("failure"), second.pop("failure")) == ("ValueError", "FirstFailedError")
    assert (
        first
        == second
        == {
            "settled": True,
            "agree": (1.0, True),
            "mean": {"a": 0.5, "b": 1.0},
            "sum": 4.0,
            "any": True,
            "first": "from rank 0",
            "processes": 2,
        }
    )


_JOIN = """
from benchmark.machine.launch import find_world, is_spokesman
from benchmark.machine.ranks import join
ranks = join("cpu", find_world(None))
fabric = ranks.fabric("32-true")
print(ranks.rank, fabric.global_rank, ranks.size, len(ranks.processes), ranks.sum(ranks.rank + 1.0), is_spokesman())
"""


@pytest.mark.slow
def test_processes_that_srun_has_started_form_one_group() -> None:
    task = {"SLURM_STEP_NUM_TASKS": 2, "SLURM_NTASKS": 2, "SLURM_NTASKS_PER_NODE": 2, "SLURM_NODEID": 0}
    task["MASTER_PORT"] = _free_port()
    processes = [_start("-c", _JOIN, **task, SLURM_PROCID=rank, SLURM_LOCALID=rank) for rank in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert printed == ["0 0 2 2 3.0 True\n", "1 1 2 2 3.0 False\n"]


@pytest.mark.slow
def test_two_devices_leave_one_record_and_go_on_after_what_fails_on_both(bench: Any, tmp_path: Path) -> None:
    wild = {"optimizer": {"name": "sgd", "lr": 1e30, "warmup": 0.0}}
    vit = {"name": "vit_tiny", "patch_size": 4, "width": 32, "depth": 1}
    small = {"predictor_width": 32, "predictor_heads": 1, "predictor_depth": 1}
    entries = [
        {"name": "wild", "method": "supervised", "overrides": wild},
        "simclr",  # whose head normalises one image a device, which cannot be done
        {"method": "ijepa", "backbone": vit, "overrides": small},
        "random_init",
    ]
    dataset = {"name": "shapes", "shapes_train": 150, "shapes_test": 20}
    config = bench.config(entries=entries, dataset=dataset, precision="32", batch_size=2)
    process = _start("-m", "benchmark", "run", config, "--device", "cpu", "--devices", 2, "--out", tmp_path / "two")
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 1, printed
    assert printed.count("ijepa, seed 0, steps=10: starting") == 1
    records = bench.records(tmp_path / "two")
    assert {name: record.status for name, record in records.items()} == {
        "wild": "diverged", "simclr": "failed", "ijepa": "completed", "random_init": "completed",
    }  # fmt: skip
    assert "Expected more than 1 value per channel" in records["simclr"].message
    record = records["ijepa"]
    assert record.environment.devices == record.ledger.devices == 2
    assert record.ledger.device_hours == pytest.approx(2 * record.ledger.training_time / 3600)
    assert (record.ledger.steps, record.ledger.samples) == (10, 20)
    assert record.ledger.energy is None
    (folder,) = (tmp_path / "two" / "tiny" / "ijepa").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "environment.json", "history.jsonl", "record.json", "glimpse.npz", "glimpses", "breakdown.json",
        "encoder.safetensors",
    }  # fmt: skip
    assert bench("run", config, "--device", "cpu", "--methods", "ijepa", "--out", tmp_path / "one")[0] == 0
    single = bench.records(tmp_path / "one")["ijepa"]
    assert single.key == record.key
    assert record.ledger.flops_per_step == pytest.approx(single.ledger.flops_per_step, rel=0.2)
    lines = [[line for line in bench.history(tmp_path / name, "ijepa") if "loss" in line] for name in ("two", "one")]
    assert [line["loss"] for line in lines[0]] == pytest.approx([line["loss"] for line in lines[1]], rel=1e-3)


@pytest.mark.slow
@pytest.mark.thorough
def test_interrupted_on_two_devices_and_gone_on_with_one(bench: Any, tmp_path: Path) -> None:
    config = bench.config(budget={"wall_clock": "6s"}, evaluation={"points": 4, "images": 100})
    arguments = ("run", config, "--methods", "simclr", "--device", "cpu", "--out", tmp_path / "out")
    process = _start("-m", "benchmark", *arguments, "--devices", 2)
    # Saved first at a quarter of the budget.
    while not list(tmp_path.glob("out/tiny/simclr/*/state.pt")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)  # to the first rank alone
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert printed.count("the same command resumes from here") == 1
    (folder,) = (tmp_path / "out" / "tiny" / "simclr").iterdir()
    state = torch.load(folder / "state.pt", weights_only=True)
    spent = state["ledger"]["seconds"]["training"]
    assert 1.5 <= spent < 6
    code, printed = bench(*arguments)
    assert code == 0, printed
    record = bench.records(tmp_path / "out")["simclr"]
    assert (record.ledger.resumed, record.ledger.devices) == (1, 1)
    assert record.ledger.steps > state["step"]
    assert 6 <= record.ledger.training_time < 9
    assert record.ledger.device_hours == pytest.approx((record.ledger.training_time + spent) / 3600, rel=1e-6)
    history = (folder / "history.jsonl").read_text().splitlines()
    progress = [json.loads(line)["progress"] for line in history]
    assert progress == sorted(progress) and progress[-1] == 1.0
