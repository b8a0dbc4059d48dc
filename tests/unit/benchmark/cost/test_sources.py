"""Energy registers and the load of other processes."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest
import torch

from benchmark.cost import sources as module
from benchmark.cost.sources import Nvml, OtherLoad, Rapl, sources

if TYPE_CHECKING:
    from pathlib import Path


def _zone(root: Path, name: str, energy: int, kind: str) -> Path:
    zone = root / name
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{kind}\n")
    (zone / "energy_uj").write_text(f"{energy}\n")
    (zone / "max_energy_range_uj").write_text("1000000\n")
    return zone


def test_rapl_sums_packages_and_takes_out_wrapping(tmp_path: Path) -> None:
    first, second = (
        _zone(tmp_path, f"intel-rapl:{i}", energy, f"package-{i}") for i, energy in enumerate((900_000, 0))
    )
    _zone(tmp_path, "intel-rapl:0:0", 5, "core")  # a part of the first package
    _zone(tmp_path, "intel-rapl:2", 5, "psys")  # what holds both
    rapl = Rapl(tmp_path)
    (first / "energy_uj").write_text("100000")
    (second / "energy_uj").write_text("300000")
    assert rapl.read() == pytest.approx(0.2 + 0.3)
    (first / "energy_uj").write_text("150000")
    assert rapl.read() == pytest.approx(0.55)
    with pytest.raises(OSError, match="no RAPL zone"):
        Rapl(tmp_path / "none")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_neighbours_work_is_others_and_ones_own_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same second of spinning, once in another process and once taken for this one's own."""
    code = "import time; end = time.time() + 30\nwhile time.time() < end: pass"
    neighbour = subprocess.Popen([sys.executable, "-c", code])
    try:
        theirs, ours = OtherLoad(), OtherLoad()
        # Seen from the neighbour's side, its own work is no load by others: what is left is the rest of the machine.
        monkeypatch.setattr(ours, "_own", [psutil.Process(neighbour.pid)])
        time.sleep(0.3)
        before = theirs.read(), ours.read()
        time.sleep(1.5)
        with_neighbour, without = theirs.read() - before[0], ours.read() - before[1]
    finally:
        neighbour.kill()
        neighbour.wait()
    assert with_neighbour - without > 0.3  # of 1.5 core-seconds, on a machine that may be busy


def test_what_cannot_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def __init__(self) -> None:
            raise OSError("no such register")

    monkeypatch.setattr(module, "Rapl", Missing)
    names = [source.name for source in sources(torch.device("cpu"))]
    assert "energy" not in names and "others" in names


def test_energy_and_clocks_of_several_processes_are_not_added_up() -> None:
    own = [psutil.Process().pid, psutil.Process().ppid()]
    assert [source.name for source in sources(torch.device("cpu"), own)] == ["others"]


def test_a_gpus_driver_is_asked_for_joules_megahertz_and_the_reasons_for_a_lower_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reasons = ("HwSlowdown", "SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown")
    driver = SimpleNamespace(
        NVMLError=KeyError,
        NVML_CLOCK_SM=1,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID={"GPU-abc": "gpu"}.__getitem__,
        nvmlDeviceGetTotalEnergyConsumption={"gpu": 2500}.__getitem__,
        nvmlDeviceGetClockInfo=lambda gpu, kind: 1980,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda gpu: 4 + 32,
        **{f"nvmlClocksThrottleReason{reason}": 8 * 2**bit for bit, reason in enumerate(reasons)},
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="abc"))
    read = {source.name: source.read() for source in sources(torch.device("cuda")) if source.name != "others"}
    assert read == {"energy": 2.5, "clock": 1980.0, "throttled": 1.0}
    driver.nvmlDeviceGetCurrentClocksThrottleReasons = lambda gpu: 4  # the limit of its own power
    assert Nvml("throttled", torch.device("cuda")).read() == 0.0
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="another"))
    assert [source.name for source in sources(torch.device("cuda"))] == ["others"]
