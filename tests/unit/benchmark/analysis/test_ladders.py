from __future__ import annotations

from typing import Any

from benchmark.analysis.comparison import comparisons
from benchmark.analysis.ladders import in_reading_order


def several(make: Any, entry: str, values: list[float], **options: Any) -> list[Any]:
    return [make(entry, seed, top1=value, **options) for seed, value in enumerate(values)]


def test_rungs_are_read_by_kind_of_budget_the_better_supported_one_first(make_record: Any) -> None:
    def read(timed_seeds: int) -> list[dict[str, Any]]:
        records = [make_record("byol", budget={"epochs": epochs}) for epochs in (2, 10)]
        records += [make_record("byol", 1, budget={"epochs": 10})]
        for seconds, seeds in ((60.0, 5), (150.0, timed_seeds)):
            records += several(make_record, "byol", [44.0] * seeds, budget={"wall_clock": seconds})
        return [rung.first.config["budget"] for rung in in_reading_order(comparisons(records))]

    data, cost = [{"epochs": 10}, {"epochs": 2}], [{"wall_clock": 150.0}, {"wall_clock": 60.0}]
    assert read(1) == data + cost  # two seeds at the largest number of epochs
    assert read(2) == data + cost  # data first where both have as many
    assert read(3) == cost + data
