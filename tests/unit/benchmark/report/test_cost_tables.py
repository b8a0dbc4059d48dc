from __future__ import annotations

from typing import Any

from made_costs import make_cost, make_priced

from benchmark.analysis.calibration import Prices
from benchmark.analysis.comparability import hardware_key
from benchmark.analysis.comparison import comparisons
from benchmark.records.schema import EnergyRecord
from benchmark.report.cost_tables import cost_table, relative_table
from benchmark.report.tables import leaderboard_table


def rows(table: Any) -> dict[str, dict[str, str]]:
    return {row[0].text: dict(zip(table.heads, (cell.text for cell in row), strict=True)) for row in table.rows}


def test_relative_times_stand_beside_the_published_ones(make_record: Any) -> None:
    records = [
        make_record("cnn_jepa", seconds=100.0, config={"method": {"encoder": "sparse"}}),
        make_record("cnn_jepa_dense", method="cnn_jepa", seconds=125.0, config={"method": {"encoder": "masked_dense"}}),
        make_record("byol", seconds=150.0, flags=["busy machine"]),
        make_record("ijepa", backbone="vit_tiny", seconds=75.0),
        make_record("random_init"),
    ]
    (elsewhere,) = comparisons(records)
    table = relative_table(elsewhere, [hardware_key(records[0])])
    assert table is not None and "Published" not in table.heads  # other images than theirs
    theirs = {"dataset": records[0].dataset.model_copy(update={"name": "imagenet100"})}
    records = [r.model_copy(update={**theirs, "config": {**r.config, "image_size": 224}}) for r in records]
    (comparison,) = comparisons(records)
    table = relative_table(comparison, [hardware_key(records[0])])
    assert table is not None
    found = rows(table)
    assert list(found) == ["I-JEPA", "CNN-JEPA", "CNN-JEPA (dense)", "BYOL"]
    assert found["BYOL"] == {
        "Entry": "BYOL",
        "Training": "2.5 min",
        "÷ sparse": "1.50",
        "÷ masked-dense": "1.20",
        "Total": "2.8 min",
        "total ÷ sparse": "1.43",
        "total ÷ masked-dense": "1.18",
        "Published": "1.54",
        "Published elsewhere": "1.35",
        "Times": "unsafe",
    }
    assert (
        found["I-JEPA"]["Published"]
        == "0.72 (ViT-S/14, 299 epochs against 200), 1.00 (ViT-B/14, 299 epochs against 200)"
    )
    assert found["CNN-JEPA"]["Published"] == "" and found["CNN-JEPA (dense)"]["Published"] == "1.00"


def test_costs_stand_by_rising_time_and_empty_columns_stay_away(make_record: Any) -> None:
    slow, fast = make_record("byol", seconds=100.0), make_record("simclr", seconds=50.0)
    (comparison,) = comparisons([slow, fast, make_record("random_init")])
    table = cost_table(comparison, [hardware_key(slow)])
    assert table is not None
    assert list(rows(table)) == ["SimCLR", "BYOL"] and "Power" not in table.heads and "Machine" not in table.heads
    energy = EnergyRecord(joules=5000.0, seconds=50.0, scope="board")
    metered = slow.model_copy(update={"ledger": slow.ledger.model_copy(update={"energy": energy})})
    (comparison,) = comparisons([metered])
    table = cost_table(comparison, [hardware_key(slow)])
    assert table is not None and rows(table)["BYOL"]["Power"] == "100 W"
    (free,) = comparisons([make_record("random_init")])
    assert cost_table(free, []) is None


_SPARSE = {"method": {"encoder": "sparse"}}


def test_times_say_how_many_runs_they_are_of_and_what_they_are_divided_by(make_record: Any) -> None:
    records = [make_record("cnn_jepa", seed, flags=["busy machine"], config=_SPARSE) for seed in (0, 1)]
    records += [make_record("byol", seed, flags=["resumed"] if seed else []) for seed in (0, 1)]
    (comparison,) = comparisons(records)
    costs, ratios = (
        {row[0].text: row[table.heads.index("Times")].text for row in table.rows}
        for make in (cost_table, relative_table)
        if (table := make(comparison, [hardware_key(records[0])])) is not None
    )
    assert costs == {"CNN-JEPA": "unsafe", "BYOL": "of 1 of 2 runs"}
    assert ratios == {"CNN-JEPA": "unsafe", "BYOL": "unsafe"}


def test_calibrated_costs_stand_beside_the_own_clock_which_is_pointed_out_where_it_is_far() -> None:
    runs = [
        make_priced("cnn_jepa", config=_SPARSE, seconds=90.0, flags=["busy machine"]),
        make_priced("byol", seconds=172.2),
        make_priced("simclr", seconds=80.0),
    ]
    cost = make_cost(runs, {"cnn_jepa": 0.12, "byol": 0.2, "simclr": 0.11}, reference="cnn_jepa", joules=10.0)
    (comparison,) = comparisons(runs, Prices((cost,)))
    table, ratios = cost_table(comparison, ["one"]), relative_table(comparison, ["one"])
    assert table is not None and ratios is not None
    found = rows(table)
    assert list(found) == ["SimCLR", "CNN-JEPA", "BYOL"]  # by calibrated time; by their own clocks BYOL is last, too
    byol = found["BYOL"]
    assert (byol["Calibrated"], byol["Training"]) == ("2.3 min ± 2.8 s", "2.9 min")
    assert (byol["Device-hours"], byol["Energy"]) == ("0.0389", "1.4 kJ")
    # 84 s and 90 s are within 10% of each other, and a calibrated time is safe whatever the flags.
    assert [found[name]["Times"] for name in found] == ["", "", "own clock +23%"]
    assert rows(ratios)["BYOL"] == {
        "Entry": "BYOL",
        "Calibrated": "2.3 min",
        "÷ sparse": "1.67 ± 0.00",
        "Times": "own clock +23%",
    }
    board = leaderboard_table(comparison, ["one"])
    assert {name: row["Own clock"] for name, row in rows(board).items()} == {
        "CNN-JEPA": "",
        "BYOL": "+23%",
        "SimCLR": "",
    }


def test_the_flags_of_a_step_cost_are_beside_the_times_that_it_gives() -> None:
    runs = [make_priced("cnn_jepa", config=_SPARSE, seconds=84.0), make_priced("byol", seconds=172.2)]
    cost = make_cost(runs, {"cnn_jepa": 0.12, "byol": 0.2}, reference="cnn_jepa", flags=["busy machine"])
    (comparison,) = comparisons(runs, Prices((cost,)))
    for make in (cost_table, relative_table):
        table = make(comparison, ["one"])
        assert table is not None
        assert {name: row["Times"] for name, row in rows(table).items()} == {
            "CNN-JEPA": "step cost: busy machine",
            "BYOL": "step cost: busy machine; own clock +23%",
        }
