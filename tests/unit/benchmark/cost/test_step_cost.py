"""From blocks to medians, ratios and intervals; with noise that is put in by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made_costs import make_cost, make_priced

from benchmark.cost.step_cost import BUSY, clocks_agree, order, progress_at, steps_in_block, summarised, widest
from benchmark.records.cost import Block, StepCost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TRUE = {"byol": 0.2, "simclr": 0.1, "vicreg": 0.3}


def _measured(blocks: Callable[[str, int], Block], rounds: int = 20, entries: Sequence[str] = tuple(TRUE)) -> StepCost:
    cost = make_cost([make_priced(name) for name in entries], TRUE)
    made = [
        entry.model_copy(update={"blocks": [blocks(entry.entry, number) for number in range(rounds)]})
        for entry in cost.entries
    ]
    return summarised(cost.model_copy(update={"entries": made}))


def _entry(cost: StepCost, name: str) -> Any:
    return next(entry for entry in cost.entries if entry.entry == name)


def _block(name: str, number: int, slower: float = 1.0, **fields: Any) -> Block:
    return Block(round=number, steps=5, seconds=5 * TRUE[name] * slower, data_wait=0.0, **fields)


def test_without_noise_the_estimates_are_exact() -> None:
    cost = _measured(_block, rounds=6)
    simclr = _entry(cost, "simclr")
    assert simclr.seconds_per_step.median == pytest.approx(0.1)
    assert simclr.seconds_per_image.median == pytest.approx(0.1 / 256)
    assert (simclr.ratio.low, simclr.ratio.median, simclr.ratio.high) == pytest.approx((0.5, 0.5, 0.5))
    assert _entry(cost, "byol").ratio.median == 1.0
    assert (cost.rounds, widest(cost), cost.flags) == (6, 0.0, [])


def test_what_slows_a_whole_round_is_in_no_ratio() -> None:
    slower = np.random.default_rng(0).uniform(1.0, 4.0, 20)
    cost = _measured(lambda name, number: _block(name, number, slower[number]))
    assert _entry(cost, "simclr").ratio.half_width == pytest.approx(0.0, abs=1e-12)
    assert _entry(cost, "simclr").seconds_per_step.half_width > 0.1
    assert widest(cost) == pytest.approx(0.0, abs=1e-12)


def test_blocks_beside_other_load_are_left_out_where_enough_others_remain() -> None:
    def sometimes(name: str, number: int) -> Block:
        busy = name == "simclr" and number % 2 == 0
        return _block(name, number, 3.0 if busy else 1.0, other_cores=1.0 if busy else 0.01)

    cost = _measured(sometimes, rounds=12)
    simclr = _entry(cost, "simclr")
    assert (simclr.rounds, simclr.seconds_per_step.median) == (6, pytest.approx(0.1))
    assert simclr.ratio.median == pytest.approx(0.5) and cost.flags == []
    few = _measured(sometimes, rounds=9)  # four quiet ones: all count, and the record says so
    assert _entry(few, "simclr").rounds == 9 and few.flags == [BUSY]
    assert _entry(few, "simclr").seconds_per_step.median == pytest.approx(0.3)


def test_the_interval_covers_the_true_ratio_about_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(100):
        random = np.random.default_rng(trial)
        cost = _measured(lambda name, number, random=random: _block(name, number, random.lognormal(0.0, 0.05)))
        ratio = _entry(cost, "vicreg").ratio
        covered += ratio.low <= 1.5 <= ratio.high
    assert 85 <= covered <= 100


def test_ratios_are_per_image() -> None:
    cost = _measured(_block)
    halved = [
        entry.model_copy(update={"batch_size": 128}) if entry.entry == "simclr" else entry for entry in cost.entries
    ]
    assert _entry(summarised(cost.model_copy(update={"entries": halved})), "simclr").ratio.median == pytest.approx(1.0)


def test_another_reference_needs_no_new_measurement() -> None:
    cost = summarised(_measured(_block).model_copy(update={"reference": "simclr"}))
    assert _entry(cost, "vicreg").ratio.median == pytest.approx(3.0)
    gone = summarised(cost.model_copy(update={"reference": "another"}))
    assert _entry(gone, "vicreg").ratio is None and widest(gone) == 0.0


def test_an_entry_that_failed_keeps_its_status_and_the_others_their_rounds() -> None:
    cost = _measured(_block)
    failed = [
        entry.model_copy(update={"status": "out_of_memory", "blocks": [], "seconds_per_step": None})
        if entry.entry == "vicreg"
        else entry
        for entry in cost.entries
    ]
    cost = summarised(cost.model_copy(update={"entries": failed}))
    assert cost.rounds == 20 and _entry(cost, "vicreg").seconds_per_step is None


def test_waits_energy_and_load_are_of_the_blocks_that_count() -> None:
    cost = _measured(lambda name, number: _block(name, number, joules=50.0, other_cores=0.02 * (number % 2)))
    simclr = _entry(cost, "simclr")
    assert simclr.joules_per_step.median == 10.0 and simclr.other_cores == pytest.approx(0.01)
    waiting = _measured(lambda name, n: _block(name, n).model_copy(update={"data_wait": 2.5 * TRUE[name]}))
    assert _entry(waiting, "simclr").data_wait_share == pytest.approx(0.5)
    partly = _measured(lambda name, number: _block(name, number, joules=50.0 if number else None))
    assert _entry(partly, "simclr").joules_per_step is None


def test_the_energy_of_a_round_with_two_blocks_counts_once() -> None:
    def joules(number: int) -> float:
        return 50.0 + 5.0 * number

    once = _measured(lambda name, number: _block(name, number, joules=joules(number)), rounds=6)
    cost = make_cost([make_priced(name) for name in TRUE], TRUE)
    twice = [
        entry.model_copy(
            update={"blocks": [_block(entry.entry, n, joules=joules(n)) for n in range(6) for _ in range(2)]}
        )
        for entry in cost.entries
    ]
    found = summarised(cost.model_copy(update={"entries": twice}))
    assert _entry(found, "simclr").joules_per_step == _entry(once, "simclr").joules_per_step


def test_precision_is_unknown_below_five_rounds() -> None:
    assert widest(_measured(_block, rounds=4)) == math.inf
    one = _measured(lambda name, n: _block(name, n, 1.0 + 0.1 * (n % 2)), entries=["byol"])
    assert widest(one) > 0.0  # a single entry: its seconds


def test_rounds_are_in_random_orders_that_a_resumed_measurement_repeats() -> None:
    names = ["a", "b", "c", "d"]
    orders = [tuple(order(names, number, "b")) for number in range(40)]
    assert orders == [tuple(order(names, number, "b")) for number in range(40)]
    # The reference, which is in every ratio, at both ends.
    assert all((each[0], each[-1], sorted(each[1:-1])) == ("b", "b", ["a", "c", "d"]) for each in orders)
    assert len(set(orders)) == 6 and {each[1] for each in orders} == {"a", "c", "d"}
    assert order(["a"], 0, "a") == ["a"] and sorted(order(["a", "c"], 0, "failed")) == ["a", "c"]


def test_what_changes_within_a_round_is_halved_by_the_two_blocks_of_the_reference() -> None:
    cost = _measured(_block, rounds=8, entries=["byol", "simclr"])
    twice = [
        entry.model_copy(update={"blocks": [_block("byol", n, slower) for n in range(8) for slower in (1.0, 1.4)]})
        if entry.entry == "byol"
        else entry.model_copy(update={"blocks": [_block("simclr", n, 1.2) for n in range(8)]})
        for entry in cost.entries
    ]
    cost = summarised(cost.model_copy(update={"entries": twice}))
    assert cost.rounds == _entry(cost, "byol").rounds == 8
    assert _entry(cost, "simclr").ratio.median == pytest.approx(0.5)


def test_the_steps_of_any_number_of_rounds_are_spread_over_progress() -> None:
    assert [progress_at(number) for number in range(4)] == [0.5, 0.25, 0.75, 0.125]
    for rounds in (5, 12, 24):
        assert sum(map(progress_at, range(rounds))) / rounds == pytest.approx(0.5, abs=0.11)


@pytest.mark.parametrize(
    ("seconds", "other", "agree"),
    [(1.0, 1.01, True), (1.0, 61.0, False), (1.0, -3599.0, False), (0.0, 0.0, False), (-1.0, -1.0, False),
     (math.nan, 1.0, False), (20.0, 24.0, True), (0.01, 0.2, True)],
)  # fmt: skip
def test_a_clock_that_jumps_is_noticed(seconds: float, other: float, agree: bool) -> None:
    assert clocks_agree(seconds, other) is agree


def test_what_failed_on_the_way_prices_nothing() -> None:
    cost = _measured(_block)
    entries = [
        entry.model_copy(update={"status": "out_of_memory", "blocks": entry.blocks[:2]})
        if entry.entry == "byol"
        else entry
        for entry in cost.entries
    ]
    cost = summarised(cost.model_copy(update={"entries": entries}))  # the reference, of all
    assert _entry(cost, "byol").seconds_per_step is None and len(cost.prices) == 2
    assert _entry(cost, "simclr").ratio is None and cost.rounds == 20


def test_a_ratio_that_holds_disturbed_rounds_is_flagged() -> None:
    def apart(name: str, number: int) -> Block:
        busy = (name == "simclr") == (number % 2 == 0)  # never both quiet
        return _block(name, number, 2.0 if busy else 1.0, other_cores=1.0 if busy else 0.0)

    cost = _measured(apart, rounds=12, entries=["byol", "simclr"])
    assert cost.flags == [BUSY] and _entry(cost, "simclr").rounds == 6


@pytest.mark.parametrize(
    ("step", "flops", "steps"),
    [
        (0.1, [1.0], 10),
        (5.0, [1.0], 1),  # one at least
        (0.1, [1.0, 1.0, 1.0], 10),
        (0.1, [0.9, 1.1], 10),  # 10% of variation: 150 steps in all are enough
        (0.1, [0.8, 1.2], 38),
        (0.1, [0.2, 1.8], 60),  # not more than six times as many
    ],
)
def test_blocks_are_longer_where_a_steps_work_varies(step: float, flops: list[float], steps: int) -> None:
    assert steps_in_block(step, 1.0, flops, 16) == steps


def test_the_reference_counts_by_rounds_and_not_by_blocks() -> None:
    """It has two blocks in a round: six quiet blocks of three rounds are too few."""
    cost = _measured(_block, rounds=8, entries=["byol", "simclr"])
    busy = {n: 1.0 if n >= 3 else 0.0 for n in range(8)}
    twice = [_block("byol", n, slower, other_cores=busy[n]) for n in range(8) for slower in (0.9, 1.1)]
    entries = [e.model_copy(update={"blocks": twice}) if e.entry == "byol" else e for e in cost.entries]
    cost = summarised(cost.model_copy(update={"entries": entries}))
    byol = _entry(cost, "byol")
    assert byol.rounds == 8 and len(cost.prices) == 2 and cost.flags == [BUSY]
    # The two blocks of a round are one value: what differs within rounds is not between them.
    assert byol.seconds_per_step.median == pytest.approx(0.2) and byol.seconds_per_step.half_width < 1e-9
