from __future__ import annotations

import pytest
from made_costs import CPU, GPU_A, make_cost, make_priced

from benchmark.analysis.calibration import Prices
from benchmark.analysis.columns import names
from benchmark.analysis.cost_columns import COSTS
from benchmark.analysis.tables import costs


def test_no_column_appears_twice() -> None:
    assert len(set(names(COSTS))) == len(COSTS)


def test_a_row_for_each_entry_and_record() -> None:
    runs = [make_priced("byol"), make_priced("simclr")]
    seconds = {"byol": 0.2, "simclr": 0.1}
    here = make_cost(runs, seconds, CPU, spread=0.1, joules=50.0)
    failed = here.entries[1].model_copy(
        update={"status": "out_of_memory", "seconds_per_step": None, "ratio": None, "message": "9 GiB"}
    )
    there = make_cost(runs, seconds, {**GPU_A, "devices": 2}, flags=["busy machine"])
    there = there.model_copy(update={"entries": [there.entries[0], failed]})
    table = costs(Prices((here, there))).astype(object).where(lambda cell: cell.notna(), None).to_dict("records")
    assert [(row["entry"], row["device_model"], row["devices"]) for row in table] == [
        ("byol", "cpu", 1),
        ("simclr", "cpu", 1),
        ("byol", "Imaginary A1", 2),
        ("simclr", "Imaginary A1", 2),
    ]
    simclr = table[1]
    found = [simclr[name] for name in ("seconds_per_step", "seconds_per_step_low", "seconds_per_image_high", "ratio")]
    assert found == pytest.approx([0.1, 0.09, 0.11 / 256, 0.5])
    assert (simclr["reference"], simclr["joules_per_step"], simclr["peak_memory_mib"]) == ("byol", 5.0, 1024.0)
    assert (simclr["rounds"], simclr["step_cost"], simclr["flags"]) == (8, here.key[:12], "")
    assert (table[2]["joules_per_step"], table[2]["flags"]) == (None, "busy machine")
    assert (table[3]["status"], table[3]["message"], table[3]["seconds_per_step"]) == ("out_of_memory", "9 GiB", None)
