"""The meter adds up what grows during training, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from benchmark.cost.meter import Meter, OtherLoad, Rapl

if TYPE_CHECKING:
    from pathlib import Path


class Fake:
    """A counter that is told its value."""

    scope = "a toy"

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = 100.0
        self.broken = False

    def read(self) -> float:
        if self.broken:
            raise OSError("gone")
        return self.value


def _meter(*sources: Fake) -> tuple[Meter, list[bool]]:
    training = [True]
    return Meter(sources, lambda: training[0]), training


def test_only_intervals_inside_training_count() -> None:
    energy, others = Fake("energy"), Fake("others")
    meter, training = _meter(energy, others)
    for now, is_training, joules in (
        (0, False, 5),
        (1, True, 7),
        (2, True, 10),
        (3, False, 90),
        (4, True, 95),
        (6, True, 99),
    ):
        training[0] = is_training
        energy.value += joules
        others.value += 0.5
        meter.tick(float(now))
    # From 1 to 2, and from 4 to 6.
    assert meter.seconds == 3.0
    assert meter.energy is not None
    assert (meter.energy.joules, meter.energy.seconds, meter.energy.scope) == (109.0, 3.0, "a toy")
    assert meter.other_cores == pytest.approx(1.0 / 3)


def test_what_was_not_measured_is_none() -> None:
    meter, _ = _meter(Fake("others"))
    assert meter.other_cores is None and meter.energy is None
    energy = Fake("energy")
    meter, _ = _meter(energy, Fake("others"))
    meter.tick(0.0)
    meter.tick(1.0)
    energy.broken = True
    meter.tick(2.0)
    assert meter.energy is None  # a part of the run's energy is not the run's energy
    assert meter.other_cores == 0.0


def test_a_resumed_run_goes_on_adding() -> None:
    energy = Fake("energy")
    first, _ = _meter(energy)
    first.tick(0.0)
    energy.value += 10
    first.tick(1.0)
    second, _ = _meter(Fake("energy"))
    second.load_state_dict(first.state_dict())
    second.tick(50.0)
    second.tick(52.0)
    assert second.energy is not None and (second.energy.joules, second.energy.seconds) == (10.0, 3.0)
    without, _ = _meter(Fake("others"))
    without.load_state_dict(first.state_dict())
    assert without.energy is None


def _zone(root: Path, name: str, energy: int) -> Path:
    zone = root / name
    zone.mkdir(parents=True)
    (zone / "energy_uj").write_text(f"{energy}\n")
    (zone / "max_energy_range_uj").write_text("1000000\n")
    return zone


def test_rapl_sums_packages_and_takes_out_wrapping(tmp_path: Path) -> None:
    first, second = _zone(tmp_path, "intel-rapl:0", 900_000), _zone(tmp_path, "intel-rapl:1", 0)
    _zone(tmp_path, "intel-rapl:0:0", 5)  # a part of the first package
    rapl = Rapl(tmp_path)
    (first / "energy_uj").write_text("100000")
    (second / "energy_uj").write_text("300000")
    assert rapl.read() == pytest.approx(0.2 + 0.3)
    (first / "energy_uj").write_text("150000")
    assert rapl.read() == pytest.approx(0.55)
    with pytest.raises(OSError, match="no RAPL zone"):
        Rapl(tmp_path / "none")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_own_work_is_not_others_and_a_neighbours_is() -> None:
    load = OtherLoad()
    code = "import time; end = time.time() + 20\nwhile time.time() < end: pass"
    neighbour = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.3)
        before, start = load.read(), time.perf_counter()
        while time.perf_counter() - start < 1.0:
            pass
        grown = load.read() - before
    finally:
        neighbour.kill()
        neighbour.wait()
    assert grown > 0.3  # at least a third of a core, on a machine of any number of cores


def test_the_thread_reads_until_it_is_told_to_end() -> None:
    energy = Fake("energy")
    meter = Meter([energy], lambda: True, interval=0.01)
    with meter:
        deadline = time.monotonic() + 10
        while meter.seconds == 0.0 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert meter.seconds > 0.0
    after = meter.seconds
    time.sleep(0.05)
    assert meter.seconds == after
