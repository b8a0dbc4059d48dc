"""What `auto` settles on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from benchmark.experiment.run_spec import resolve_precision
from benchmark.experiment.spec import Experiment
from benchmark.machine import devices
from benchmark.machine.devices import has_bfloat16

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


def _experiment(value: str) -> Experiment:
    return Experiment.model_validate({"name": "x", "budget": {"steps": 1}, "entries": ["simclr"], "precision": value})


@pytest.mark.parametrize(
    ("cpuinfo", "native"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 rdrand\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\nbugs\t\t: bf16\n", False),
        ("", False),
    ],
)
def test_auto_is_bf16_where_the_cpu_has_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpuinfo: str, native: bool
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo)
    monkeypatch.setattr(devices, "_CPUINFO", file)
    assert has_bfloat16(CPU) == native
    assert resolve_precision(_experiment("auto"), CPU).precision == ("bf16" if native else "32")
    for asked in ("32", "bf16"):
        assert resolve_precision(_experiment(asked), CPU).precision == asked


def test_no_cpuinfo_means_float32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "none")
    assert resolve_precision(_experiment("auto"), CPU).precision == "32"
