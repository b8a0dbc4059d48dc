"""Choosing devices by name; taking the first that is free."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from benchmark.errors import UserError
from benchmark.machine import devices
from benchmark.machine.devices import (
    check_device_free,
    check_device_name,
    choose_device,
    has_bfloat16,
    local_devices,
    take_device,
    unique_name,
)
from benchmark.machine.locks import FOLDER_VARIABLE, DeviceLock

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
GPUS = [torch.device("cuda", index) for index in range(2)]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(devices, "unique_name", str)


def test_names_of_devices_with_two_gpus(two_gpus: None) -> None:
    assert choose_device("auto") == choose_device("cuda") == choose_device("cuda:0") == GPUS[0]
    assert (choose_device("cuda:1"), choose_device("cpu")) == (GPUS[1], CPU)
    with pytest.raises(
        UserError, match="--device is 'cuda:2', but 2 CUDA devices are visible, the first of them cuda:0"
    ):
        choose_device("cuda:2")
    with pytest.raises(UserError, match="--device is 'gpu'; choices: auto, cpu, cuda, cuda:N"):
        choose_device("gpu")


def test_names_of_devices_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(UserError, match="--device is 'cuda:1', but no CUDA device is visible; choices: auto, cpu"):
        choose_device("cuda:1")


def test_each_process_gets_a_gpu_or_all_share_the_cpu(two_gpus: None) -> None:
    assert local_devices("auto", 2) == GPUS
    assert local_devices("cuda", 1) == GPUS[:1]
    assert local_devices("cpu", 5) == [CPU]
    with pytest.raises(UserError, match="3 devices are asked for, but --device auto gives 2; each process has to see"):
        local_devices("auto", 3)


def test_a_run_takes_the_first_free_device_and_shares_only_if_none_is(
    two_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    used = {"cuda:0"}
    monkeypatch.setattr(DeviceLock, "_others", lambda lock: [4711] if lock._device in used else [])
    with take_device("auto", share=True) as (device, lock):
        assert device == GPUS[1] and not lock.is_shared()
    check_device_free("auto")
    used.add("cuda:1")
    with pytest.raises(UserError, match="device cuda:1 is in use"):
        check_device_free("auto")
    with pytest.raises(UserError, match="device cuda:1 is in use"), take_device("auto"):
        pass
    with take_device("auto", share=True) as (device, lock):
        assert device == GPUS[0] and lock.is_shared()


def test_a_wrong_name_is_refused_without_torch() -> None:
    use = "from benchmark.machine.devices import check_device_name; check_device_name('cuda:1')"
    code = f"import sys; {use}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(UserError, match="--device is 'cuda:'; choices: auto, cpu, cuda, cuda:N"):
        check_device_name("cuda:")


def test_the_cpu_has_one_name_for_all_processes() -> None:
    assert unique_name(CPU) == "cpu"


@pytest.mark.parametrize(
    ("cpuinfo", "native"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx512f amx_bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("model name\t: bf16 of its own\n", False),
    ],
)
def test_bfloat16_is_read_from_the_cpus_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpuinfo: str, native: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "cpuinfo")
    assert has_bfloat16(CPU) == native
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "none")
    assert not has_bfloat16(CPU)
