from __future__ import annotations

from typing import Any

from made_costs import CPU, GPU_A, GPU_B, make_cost, make_priced

from benchmark.analysis.calibration import Prices
from benchmark.analysis.comparison import comparisons
from benchmark.report.step_costs import hardware_note, hardware_table, sentences

SECONDS = {"byol": 0.2, "simclr": 0.1}


def runs(**options: Any) -> list[Any]:
    return [*(make_priced(entry, **options) for entry in SECONDS), make_priced("random_init", **options)]


def test_the_record_is_named_with_its_hardware_rounds_date_and_flags() -> None:
    ladder = [*runs(budget={"epochs": 2}), *runs()]
    cost = make_cost(ladder, SECONDS, flags=["the clocks jumped"])
    prices = Prices((cost,))
    assert sentences(comparisons(ladder, prices), prices) == [
        "Costs of 2 epochs and 10 epochs on cifar10-jpeg are calibrated: steps x seconds per step, measured on cpu, 2 "
        f"threads, AVX512 BF16, bfloat16, torch 2.14 (step-cost record {cost.key[:12]}, 8 rounds, 2026-01-06). Its "
        "seconds are in doubt: the clocks jumped."
    ]
    assert sentences(comparisons(ladder), Prices()) == []


def test_a_comparison_without_a_price_says_what_is_missing() -> None:
    def said(*costs: Any, on: str = "") -> str:
        prices = Prices(costs).on(on) if on else Prices(costs)
        (sentence,) = sentences(comparisons(runs(), prices), prices)
        return sentence

    half = make_cost(runs(), {"byol": 0.2}, GPU_A)
    assert said(make_cost(runs(), SECONDS), half, on="imaginary-a1-bf16") == (
        "Costs of 10 epochs on cifar10-jpeg are those of the runs' own clocks: the step-cost record of Imaginary "
        f"A1, bfloat16, torch 2.14 ({half.key[:12]}) lacks SimCLR."
    )
    assert said(make_cost(runs(), SECONDS, rounds=3)).endswith(
        "no step-cost record has these entries in enough rounds."
    )
    several = said(make_cost(runs(), SECONDS, GPU_A), make_cost(runs(), SECONDS, GPU_B))
    assert several.endswith("--hardware chooses imaginary-a1-bf16 or imaginary-b2-bf16.")


def test_every_entry_on_every_hardware() -> None:
    here = make_cost(runs(), SECONDS, CPU, spread=0.04)
    there = make_cost(runs(), {"byol": 0.02, "simclr": 0.04}, {**GPU_A, "devices": 2})
    half = make_cost(runs(), {"byol": 0.01}, {**GPU_A, "devices": 2}, ended="2027-01-01")
    other = make_cost(runs(), {"byol": 0.01}, GPU_B)
    prices = Prices((here, half, there, other))
    (comparison,) = comparisons(runs(), prices)
    table = hardware_table(comparison, prices)
    assert table is not None
    assert [head[:25] for head in table.heads] == ["Entry", "2 x Imaginary A1, bfloat1", "Imaginary B2, bfloat16, t",
                                                   "cpu, 2 threads, AVX512 BF"]  # fmt: skip
    assert all(head.endswith("(÷ BYOL)") for head in table.heads[1:])
    cells = {row[0].text: [(cell.text, cell.note) for cell in row[1:]] for row in table.rows}
    assert cells == {  # 700 steps
        "BYOL": [
            ("1.00 ± 0.00", "20 ms/step, 0.00778 device-hours"),
            ("1.00 ± 0.00", "10 ms/step, 0.00194 device-hours"),
            ("1.00 ± 0.00", "200 ms/step, 0.0389 device-hours"),
        ],
        "SimCLR": [
            ("2.00 ± 0.04", "40 ms/step, 0.0156 device-hours"),
            ("not measured", ""),
            ("0.50 ± 0.02", "100 ms/step, 0.0194 device-hours"),
        ],
    }
    assert hardware_table(comparison, Prices()) is None
    assert (
        hardware_table(comparison, Prices((make_cost([make_priced("vicreg")], {"vicreg": 1.0}, reference="vicreg"),)))
        is None
    )


def test_an_entry_that_ran_on_two_machines_is_there_once_and_hardware_of_one_name_is_told_apart() -> None:
    twice = [*runs(), make_priced("byol", 1, environment={"cpu_model": "EPYC"})]
    prices = Prices(tuple(make_cost(twice, SECONDS, {**GPU_A, "cpu_model": cpu}) for cpu in ("Xeon", "EPYC")))
    table = hardware_table(comparisons(twice)[0], prices)
    assert table is not None
    assert sorted(row[0].text for row in table.rows) == ["BYOL", "SimCLR"]
    assert sorted(head.split(", ")[3] for head in table.heads[1:]) == ["EPYC", "Xeon"]
    assert hardware_note(Prices((make_cost(runs(), SECONDS, GPU_B),))).endswith("for --hardware: imaginary-b2-bf16.")


def test_entries_of_equal_steps_and_those_without_a_step_key_have_a_row_each() -> None:
    twins = [make_priced("byol"), make_priced("byol_again", method="byol")]
    twins[1] = twins[1].model_copy(update={"key_settings": twins[0].key_settings})
    old = [make_priced(entry).model_copy(update={"key_settings": None}) for entry in ("simclr", "vicreg")]
    every = [*twins, *old]
    table = hardware_table(comparisons(every)[0], Prices((make_cost(every, {"byol": 0.2}),)))
    assert table is not None
    assert sorted((row[0].text, row[1].text) for row in table.rows) == [
        ("BYOL", "1.00 ± 0.00"),
        ("SimCLR", "not measured"),
        ("VICReg", "not measured"),
        ("byol_again", "1.00 ± 0.00"),
    ]
