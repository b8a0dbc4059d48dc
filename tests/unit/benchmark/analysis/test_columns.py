from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.analysis.columns import again, attribute, count, explained, frame, names, number, text
from benchmark.analysis.cost_columns import COSTS
from benchmark.analysis.leaderboard_columns import LEADERBOARD
from benchmark.analysis.probes import PROBES
from benchmark.analysis.run_columns import RUNS

PAGE = Path(__file__).parents[4] / "docs" / "leaderboard.md"

COLUMNS = (
    text("name", "what it is", lambda row: row.get("name")),
    count("runs", "how many", lambda row: row.get("runs")),
    number("mean", "of them", lambda row: row.get("mean")),
)


def test_unknown_texts_are_empty_and_unknown_numbers_are_missing() -> None:
    table = frame(COLUMNS, [{"name": "byol", "runs": 3, "mean": 1.5}, {}])
    assert list(table.columns) == ["name", "runs", "mean"] == list(names(COLUMNS))
    assert list(table["name"]) == ["byol", ""]
    assert table["runs"].dtype == "Int64" and table["runs"][0] == 3 and table["runs"].isna()[1]
    assert table["mean"].dtype == "Float64" and table["mean"].isna()[1]
    assert frame(COLUMNS, []).to_csv(index=False) == "name,runs,mean\n"
    assert isinstance(frame(COLUMNS, [{"runs": None}])["name"], pd.Series)


def test_a_nested_attribute_of_something_unknown_is_unknown(make_record: Any) -> None:
    record = make_record("byol")
    assert attribute("ledger.samples_per_second.median")(record) == 1800.0
    assert attribute("ledger.energy.joules")(record) is None


def test_a_column_that_a_second_table_shares_is_read_alike_and_explained_once() -> None:
    first, second, _ = again(COLUMNS, runs="of this table")
    assert (first.meaning, second.meaning) == ("as above", "of this table")
    assert second.read({"runs": 3}) == 3  # type: ignore[arg-type]


def test_the_documentation_explains_every_column_of_all_tables_in_their_order() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for columns in (LEADERBOARD, RUNS, PROBES, COSTS):
        assert explained(columns) in page, "make docs"  # type: ignore[arg-type]
        assert all(column.meaning for column in columns)  # type: ignore[attr-defined]
    assert re.findall(r"^## (\w+\.csv)", page, flags=re.M) == ["leaderboard.csv", "runs.csv", "probes.csv", "costs.csv"]


def test_the_script_that_writes_the_page_leaves_it_as_it_is() -> None:
    spec = importlib.util.spec_from_file_location("make_leaderboard", PAGE.with_name("make_leaderboard.py"))
    assert spec is not None and spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = PAGE.read_text(encoding="utf-8")
    assert script.render(page) == page
    assert script.render(page.replace("| the line of the experiment |", "| nothing |")) == page
