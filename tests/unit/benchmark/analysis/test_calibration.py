from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made_costs import CPU, GPU_A, GPU_B, make_cost, make_priced

from benchmark.analysis.calibration import Price, Prices, hardware_names, lacking, own_clock_text, price_of, ran_on
from benchmark.errors import UserError
from benchmark.records.cost import Block, Hardware, StepCost

if TYPE_CHECKING:
    from benchmark.records.schema import Record

SECONDS = {"byol": 0.2, "simclr": 0.1}


def records(**options: Any) -> list[Record]:
    return [make_priced(entry, **options) for entry in SECONDS]


def measured(hardware: dict[str, Any] = CPU, **options: Any) -> StepCost:
    return make_cost(records(), SECONDS, hardware, **options)


def test_so_many_steps_cost_so_much() -> None:
    price = price_of(measured({**GPU_A, "devices": 4}, joules=50.0, spread=0.1), records()[0])
    assert price is not None
    assert price.seconds(100).model_dump() == pytest.approx({"median": 20.0, "low": 18.0, "high": 22.0})
    assert price.device_seconds(100).median == pytest.approx(80.0)
    energy = price.joules(100)
    assert energy is not None and energy.median == pytest.approx(1000.0)
    without = price_of(measured(), records()[0])
    assert without is not None and without.joules(100) is None


def test_ratios_are_paired_within_rounds_to_every_base_and_busy_rounds_do_not_count() -> None:
    def blocks(seconds: list[float], busy: int) -> list[Block]:
        return [
            Block(round=n, steps=10, seconds=10 * s, data_wait=0.0, other_cores=float(n == busy))
            for n, s in enumerate(seconds)
        ]

    # The machine was twice as slow in round 2, for both. Round 5 was busy; round 7 has one of the two alone.
    both = ([0.2, 0.21, 0.4, 0.2, 0.19, 9.0, 0.2], [0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 5.0])
    cost = measured(spread=0.05)
    entries = [e.model_copy(update={"blocks": blocks(times, 5)}) for e, times in zip(cost.entries, both, strict=True)]
    cost = cost.model_copy(update={"entries": entries})
    assert cost.reference == "byol"
    byol, simclr = (price_of(cost, record) for record in records())
    assert byol is not None and simclr is not None
    to_other, to_reference = byol.ratio(simclr), simclr.ratio(byol)
    assert to_other is not None and to_reference is not None
    assert to_other.median == pytest.approx(2.0) and 1.9 <= to_other.low < 2.0 < to_other.high <= 2.1
    assert to_reference.median == pytest.approx(0.5) and 0.47 < to_reference.low < 0.5 < to_reference.high < 0.53
    alone = Price(cost, entries[0].model_copy(update={"blocks": blocks([0.2] * 8, 5)[7:]}))
    assert alone.ratio(byol) is None


def test_a_ratio_is_one_of_steps_and_not_of_images() -> None:
    cost = measured()
    byol, half = cost.entries[0], cost.entries[1].model_copy(update={"batch_size": 128})
    ratio = Price(cost, half).ratio(Price(cost, byol))
    assert ratio is not None and ratio.median == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("hardware", "same"),
    [
        (CPU, True),
        ({**CPU, "instructions": "AVX2"}, True),  # the run's record does not say which it used
        ({**CPU, "threads": 1}, False),
        ({**CPU, "precision": "32"}, False),
        ({**CPU, "torch": "2.13"}, False),
        ({**CPU, "cpu_model": "EPYC"}, False),
        (GPU_A, False),
    ],
)
def test_a_run_was_made_on_hardware_of_its_own_kind(hardware: dict[str, Any], same: bool) -> None:
    assert ran_on(Hardware(**hardware), make_priced()) is same


def test_instructions_count_where_the_run_has_them_and_no_threads_beside_a_gpu() -> None:
    run = make_priced(environment={"instructions": "AVX2"})
    assert [ran_on(Hardware(**{**CPU, "instructions": text}), run) for text in ("AVX2", "AVX512")] == [True, False]
    there = make_priced(environment={"device": "cuda", "device_model": "Imaginary A1", "threads": 16})
    assert ran_on(Hardware(**GPU_A), there)


def test_the_runs_own_hardware_comes_first_and_the_newest_record_of_it() -> None:
    old, new = measured(ended="2026-01-06"), measured(ended="2026-01-07")
    other = measured(GPU_A, ended="2026-02-01")
    assert Prices((new, old, other)).choose(records()) == new
    assert Prices((other,)).choose(records()) == other  # the only kind that was measured
    assert Prices((other, measured(GPU_B))).choose(records()) is None
    assert Prices((old, measured(ended="2026-01-08", rounds=4))).choose(records()) == old  # too few rounds
    assert Prices().choose(records()) is None and Prices((old,)).choose([]) is None


def test_a_record_of_another_precision_prices_runs_only_where_its_hardware_is_named() -> None:
    single = [make_priced(entry, config={"precision": "32"}) for entry in SECONDS]
    half, full = measured(), measured({**CPU, "precision": "32"}, ended="2026-01-01")
    assert not lacking(half, single)  # the steps are the same
    assert Prices((half,)).choose(single) is None
    assert Prices((half, full)).choose(single) == full
    assert Prices((half, full)).on("cpu-2-threads-avx512-bf16-bf16").choose(single) == half


def test_a_record_without_flags_comes_before_a_newer_one_with_flags() -> None:
    sound, busy = measured(ended="2026-01-06"), measured(ended="2026-01-07", flags=["busy machine"])
    assert Prices((busy, sound)).choose(records()) == sound
    assert Prices((busy,)).choose(records()) == busy


def test_the_record_that_set_the_budgets_prices_their_runs() -> None:
    setting, newer = measured(), measured(ended="2026-01-09T10:00:00+00:00", id="cd" * 16)
    budget = {"calibrated_time": 60.0, "steps": 7, "step_cost": setting.key}
    runs = [r.model_copy(update={"config": {**r.config, "budget": budget}}) for r in records()]
    assert Prices((setting, newer)).choose(records()) == newer
    assert Prices((setting, newer)).choose(runs) == setting
    assert Prices((newer,)).choose(runs) == newer


def test_of_two_machines_the_one_with_more_runs_counts() -> None:
    environment = {"device": "cuda", "device_model": "Imaginary A1"}
    runs = [make_priced("byol"), make_priced("simclr", environment=environment)]
    runs.append(make_priced("simclr", 1, environment=environment))
    here, there = measured(ended="2026-01-09"), measured(GPU_A)
    assert Prices((here, there)).choose(runs) == there
    assert Prices((here, there)).choose(runs[:2]) == here  # the newest of equals


def test_a_record_prices_all_or_none() -> None:
    cost, vicreg = measured(), make_priced("vicreg")
    runs = [*records(), vicreg]
    assert lacking(cost, runs) == ["vicreg"]
    assert Prices((cost,)).choose(runs) is None
    assert Prices((cost,)).nearly(runs) == (cost, ["vicreg"])
    assert Prices((cost,)).nearly([vicreg]) is None
    other = make_priced("simclr", config={"batch_size": 512})
    assert lacking(cost, [other]) == ["simclr"]  # of one name, but with other steps


def test_a_wish_is_granted_or_answered_with_what_there_is() -> None:
    a, b = measured(GPU_A), measured(GPU_B)
    prices = Prices((measured(), a, b))
    assert prices.on("imaginary-b2-bf16").choose(records()) == b
    with pytest.raises(UserError) as caught:
        prices.on("imaginary-b3-bf16")
    assert str(caught.value) == (
        "--hardware is 'imaginary-b3-bf16', which was not measured; measured: imaginary-b2-bf16, imaginary-a1-bf16, "
        "cpu-2-threads-avx512-bf16-bf16"
    )
    with pytest.raises(UserError, match="there is no step-cost record; `bench cost FOLDER` makes one"):
        Prices().on("imaginary-b2-bf16")


def test_a_wish_that_prices_nothing_names_the_record_that_falls_short() -> None:
    a = make_cost(records(), {"byol": 0.2}, GPU_A)
    wished = Prices((measured(), a)).on("imaginary-a1-bf16")
    assert wished.choose(records()) is None
    assert wished.nearly(records()) == (a, ["simclr"])


def test_names_are_told_apart_by_torch_and_then_by_key() -> None:
    kinds = [GPU_A, {**GPU_A, "torch": "2.13"}, {**GPU_B, "cpu_model": "EPYC"}, GPU_B, CPU]
    costs = [measured(kind) for kind in kinds]
    names = hardware_names(costs)
    found = [names[cost.hardware.key] for cost in costs]
    assert found[:2] == ["imaginary-a1-bf16-torch-2-14", "imaginary-a1-bf16-torch-2-13"]
    assert found[2:4] == [f"imaginary-b2-bf16-{cost.hardware.key[:4]}" for cost in costs[2:4]]
    assert found[4] == "cpu-2-threads-avx512-bf16-bf16"


def test_the_own_clock_is_compared_run_by_run_on_the_same_hardware() -> None:
    runs = [make_priced(seed=0, seconds=154.0), make_priced(seed=1, seconds=168.0)]  # 700 steps of 0.2 s are 140 s
    price, elsewhere = (price_of(measured(kind), runs[0]) for kind in (CPU, GPU_A))
    assert price is not None and elsewhere is not None
    assert price.own_clock_ratio(runs) == pytest.approx(1.15)
    assert elsewhere.own_clock_ratio(runs) is None


def test_an_own_clock_is_pointed_out_where_it_is_far_from_the_calibrated_time() -> None:
    assert [own_clock_text(ratio) for ratio in (None, 1.0, 1.09, 0.91, 1.23, 0.5)] == ["", "", "", "", "+23%", "-50%"]
