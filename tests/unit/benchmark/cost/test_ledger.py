"""The ledger: phases are exclusive and sum to the total."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.cost.ledger import PHASES, Ledger


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_an_inner_phase_pauses_the_outer() -> None:
    clock = Clock()
    ledger = Ledger(clock=clock, devices=2)
    clock.sleep(1)
    with ledger.phase("training"):
        clock.sleep(2)
        with ledger.waiting_for_data():
            clock.sleep(0.5)
        with ledger.phase("evaluation"):
            clock.sleep(10)
            with ledger.waiting_for_data():  # not the training's data
                clock.sleep(3)
        clock.sleep(4)
    record = ledger.record(None)
    assert record.phases.setup == 1
    assert record.phases.training == record.training_time == 6.5
    assert record.phases.evaluation == 13
    assert record.data_wait == 0.5
    assert record.total_time == 20.5
    assert record.device_hours == pytest.approx(2 * 6.5 / 3600)


@given(st.lists(st.tuples(st.sampled_from(PHASES), st.floats(0.001, 50), st.booleans()), max_size=30))
def test_phases_sum_to_the_total(moves: list[tuple[str, float, bool]]) -> None:
    clock = Clock()
    ledger = Ledger(clock=clock)
    for name, seconds, nested in moves:
        with ledger.phase(name):  # type: ignore[arg-type]
            clock.sleep(seconds)
            if nested:
                with ledger.phase("logging"):
                    clock.sleep(seconds / 3)
    record = ledger.record(None)
    assert record.total_time == pytest.approx(clock.now - 100.0)
    assert sum(record.phases.model_dump().values()) == pytest.approx(record.total_time, rel=1e-9)
    assert 0 <= record.data_wait <= record.training_time


def test_the_device_is_synchronised_at_edges_only() -> None:
    calls = []
    clock = Clock()
    ledger = Ledger(lambda: calls.append(1), clock)
    with ledger.phase("training"):
        for _ in range(100):
            with ledger.waiting_for_data():
                clock.sleep(0.1)
            ledger.count(8, 2, 100)
            ledger.close_window()
    assert len(calls) == 2
    assert (ledger.steps, ledger.samples, ledger.views, ledger.encoded_pixels) == (100, 800, 1600, 80_000)


def test_throughput_windows_hold_training_time_alone() -> None:
    clock = Clock()
    ledger = Ledger(clock=clock)
    with ledger.phase("training"):
        ledger.close_window()
        for _ in range(5):
            clock.sleep(2)
            ledger.count(100, 1, 10)
            with ledger.phase("evaluation"):
                clock.sleep(1000)
            ledger.close_window()
    throughput = ledger.record(None).samples_per_second
    assert throughput is not None
    assert throughput.median == throughput.p10 == throughput.p90 == 50.0


def test_a_resumed_ledger_goes_on() -> None:
    clock = Clock()
    first = Ledger(clock=clock)
    with first.phase("training"):
        clock.sleep(7)
        first.count(4, 1, 10)
        first.mark_point(0.2)
    state = first.state_dict()
    second = Ledger(clock=clock)
    clock.sleep(1)
    second.load_state_dict(state)
    with second.phase("training"):
        clock.sleep(3)
        second.count(4, 1, 10)
    record = second.record(None)
    assert record.training_time == 10
    assert record.phases.setup == 1
    assert (record.steps, record.samples, record.resumed, record.encoded_pixels) == (2, 8, 1, 80)
    assert record.evaluation_points[0].training_time == 7


def test_device_hours_follow_the_number_of_devices_at_each_time() -> None:
    clock = Clock()
    first = Ledger(clock=clock, devices=4)
    with first.phase("training"):
        clock.sleep(600)
    second = Ledger(clock=clock, devices=1)
    second.load_state_dict(first.state_dict())
    with second.phase("training"):
        clock.sleep(1200)
    record = second.record(None)
    assert record.devices == 1
    assert record.device_hours == pytest.approx((4 * 600 + 1200) / 3600)
    assert second.mean_devices(record.training_time) == pytest.approx(2.0)


def test_the_slowest_ranks_time_counts() -> None:
    clock = Clock()
    ledger = Ledger(clock=clock)
    with ledger.phase("training"):
        clock.sleep(7)
    ledger.catch_up(7.5)
    ledger.catch_up(6.0)  # nothing is taken back
    assert ledger.record(None).training_time == 7.5


def test_a_state_from_before_pixels_were_counted_is_read() -> None:
    first, second = Ledger(), Ledger()
    first.count(4, 2, 10)
    state = first.state_dict()
    state["counts"] = state["counts"][:4]
    second.load_state_dict(state)
    assert (second.steps, second.views, second.encoded_pixels, second.resumed) == (1, 8, 0, 1)
