"""The data of the interactive chart of cost and accuracy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from made_costs import GPU_A, GPU_B, make_cost, make_priced

from benchmark.analysis.calibration import Prices
from benchmark.analysis.comparability import hardware_key
from benchmark.analysis.comparison import comparisons
from benchmark.report.cost_chart import chart_data


def chart(records: list[Any], prices: Prices = Prices()) -> Any:  # noqa: B008
    machines = list(dict.fromkeys(map(hardware_key, records)))
    return json.loads(chart_data(comparisons(records, prices), machines, prices) or "null")


def costs(content: Any, axis: str) -> dict[str, Any]:
    place = [each["name"] for each in content["axes"]].index(axis)
    return {row["name"]: row["x"][place] for row in content["rows"]}


def test_rows_have_their_cost_on_every_axis_and_none_is_left_out(make_record: Any) -> None:
    records = [make_record("byol", seed, seconds=100.0 + seed, top1=40.0 + seed) for seed in range(3)]
    records += [
        make_record("simclr", 0, seconds=50.0, flags=["busy machine"]),
        make_record("random_init", 0, top1=30.0),
    ]
    records.append(make_record("vicreg", 0, status="failed", measured=False))
    content = chart(records)
    rows = {row["name"]: row for row in content["rows"]}
    assert set(rows) == {"BYOL", "SimCLR", "random init", "VICReg"}
    assert [axis["name"] for axis in content["axes"]] == [
        "Own clock: training time", "Own clock: device-hours", "Images seen in training",
    ]  # fmt: skip
    mean, half, unsafe = costs(content, "Own clock: training time")["BYOL"]
    assert mean == pytest.approx(101.0) and half == pytest.approx(4.303 / 3**0.5, rel=1e-3) and not unsafe
    assert costs(content, "Own clock: training time")["SimCLR"] == [50.0, None, True]
    assert costs(content, "Own clock: device-hours")["BYOL"][0] == pytest.approx(101 / 3600)
    assert costs(content, "Images seen in training")["SimCLR"] == [180000.0, None, False]
    assert rows["BYOL"]["interval"] and rows["BYOL"]["n"] == 3 and rows["BYOL"]["y"] == pytest.approx(41.0)
    assert not rows["SimCLR"]["interval"] and rows["SimCLR"]["half"] == pytest.approx(0.98, abs=0.01)
    assert rows["VICReg"]["y"] is None and rows["VICReg"]["status"] == "failed"
    assert rows["random init"]["untrained"] and rows["random init"]["x"] == [None, None, None]


def test_a_chart_of_fewer_than_two_trained_rows_is_none(make_record: Any) -> None:
    assert chart([make_record("byol"), make_record("random_init")]) is None


def test_budgets_of_data_and_of_cost_compete_apart_and_share_no_line(make_record: Any) -> None:
    budgets: list[dict[str, Any]] = [{"epochs": 2}, {"epochs": 4}, {"wall_clock": 100.0}]
    content = chart([make_record(entry, 0, budget=budget) for entry in ("byol", "simclr") for budget in budgets])
    byol = {row["budget"]: row for row in content["rows"] if row["name"] == "BYOL"}
    groups = sorted((row["group"], row["line"]) for row in byol.values())
    assert [group for group, _ in groups] == ["Same cost", "Same data", "Same data"]
    assert groups[1] == groups[2] and groups[0][1] != groups[1][1]


def test_a_budget_of_time_is_the_cost_however_long_the_last_step_was(make_record: Any) -> None:
    runs = [
        make_record(entry, 0, seconds=seconds, budget={"wall_clock": 60})
        for entry, seconds in (("vicreg", 60.1), ("simclr", 60.4))
    ]
    places = costs(chart(runs), "Own clock: training time")
    assert places["VICReg"][0] == places["SimCLR"][0]


def test_other_machines_have_axes_of_their_own(make_record: Any) -> None:
    records = [make_record(entry, environment={"cpu_model": cpu}) for entry in ("byol", "simclr") for cpu in ("A", "B")]
    content = chart(records)
    place = [axis["name"] for axis in content["axes"]].index("Own clock: training time, machine B")
    known = [row["x"][place] is not None for row in content["rows"]]
    assert sorted(known) == [False, False, True, True]


def test_measured_hardware_gives_axes_where_there_are_several() -> None:
    records = [make_priced(entry) for entry in ("byol", "simclr")]
    made = [make_cost(records, {"byol": 0.2, "simclr": 0.1}, hardware=hardware) for hardware in (GPU_A, GPU_B)]
    content = chart(records, Prices(tuple(made)))
    names = [axis["name"] for axis in content["axes"] if axis["name"].startswith("Device-hours on")]
    assert len(names) == 2
    assert costs(content, names[0])["BYOL"][0] == pytest.approx(700 * 0.2 / 3600, rel=0.05)
