"""The meter adds up what grows during training, and nothing else."""

from __future__ import annotations

import time

import pytest

from benchmark.cost.meter import Meter
from benchmark.records.schema import EnergyRecord


class Fake:
    """A counter that is told its value."""

    scope = "a toy"

    def __init__(self, name: str, *, grows: bool = True) -> None:
        self.name, self.grows = name, grows
        self.value = 100.0
        self.broken = False

    def read(self) -> float:
        if self.broken:
            raise OSError("gone")
        return self.value


class Training:
    """Seconds of training so far."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _meter(*sources: Fake) -> tuple[Meter, Training]:
    training = Training()
    return Meter(sources, training), training


def test_only_intervals_of_training_count() -> None:
    energy, others = Fake("energy"), Fake("others")
    meter, training = _meter(energy, others)
    #            now, trained since the last, joules since
    for now, trained, joules in ((0, 0.0, 5), (1, 0.4, 7), (2, 1.0, 10), (3, 0.95, 20), (4, 0.1, 90), (6, 2.0, 99)):
        training.seconds += trained
        energy.value += joules
        others.value += 0.5
        meter.tick(float(now))
    # From 1 to 3 and from 4 to 6; moments of logging do not matter, an evaluation does.
    assert meter.seconds == 4.0
    energy_record = EnergyRecord(joules=129.0, seconds=4.0, scope="a toy")
    assert meter.record() == {"energy": energy_record, "other_cores": pytest.approx(1.5 / 4)}


def test_gauges_are_averaged_over_training() -> None:
    clock, throttled = Fake("clock", grows=False), Fake("throttled", grows=False)
    meter, training = _meter(clock, throttled)
    for now, trained, mhz, held in (
        (0, 0.0, 1, 1),
        (1, 1.0, 3000, 0),
        (2, 0.0, 9, 1),
        (3, 1.0, 2000, 1),
        (5, 2.0, 2000, 0),
    ):
        training.seconds += trained
        clock.value, throttled.value = mhz, held
        meter.tick(float(now))
    assert meter.record() == {"clock_mhz": (3000 + 2000 + 2 * 2000) / 4, "throttled": 1 / 4}


def test_what_was_not_measured_is_left_out() -> None:
    meter, _ = _meter(Fake("others"))
    assert meter.record() == {}
    energy = Fake("energy")
    meter, training = _meter(energy, Fake("others"))
    for now in range(3):
        training.seconds = float(now)
        energy.broken = now == 2
        meter.tick(float(now))
    assert meter.record() == {"other_cores": 0.0}  # a part of the run's energy is not the run's energy


def test_a_resumed_run_goes_on_adding() -> None:
    energy = Fake("energy")
    first, training = _meter(energy)
    first.tick(0.0)
    energy.value += 10
    training.seconds = 1.0
    first.tick(1.0)
    second, training = _meter(Fake("energy"))
    second.load_state_dict(first.state_dict())
    second.tick(50.0)
    training.seconds = 2.0
    second.tick(52.0)
    assert second.record() == {"energy": EnergyRecord(joules=10.0, seconds=3.0, scope="a toy")}
    without, _ = _meter(Fake("others"))
    without.load_state_dict(first.state_dict())
    assert without.record() == {}


def test_the_thread_reads_until_it_is_told_to_end() -> None:
    energy = Fake("energy")
    meter = Meter([energy], time.monotonic, interval=0.01)
    with meter:
        deadline = time.monotonic() + 10
        while meter.seconds == 0.0 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert meter.seconds > 0.0
    after = meter.seconds
    time.sleep(0.05)
    assert meter.seconds == after
