"""What a column of a table is: its name, its kind, its explanation in docs/leaderboard.md, and how it is computed.

A new column is one entry in `leaderboard_columns.py`, `run_columns.py`, `probes.py` or `cost_columns.py`; `make docs`
then explains it in the documentation. Columns are stable within a `LEADERBOARD_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from benchmark.analysis.comparability import comparison_key, cost_key, quality_key
from benchmark.records.budgets import budget_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

LEADERBOARD_VERSION = 9

Kind = Literal["text", "count", "number"]
_DTYPES: dict[Kind, str] = {"count": "Int64", "number": "Float64"}
RowT = TypeVar("RowT")


@dataclass(frozen=True)
class Column(Generic[RowT]):
    """A column of a table: its name in the file's header, its meaning in Markdown, and how a row's value is read."""

    name: str
    kind: Kind
    meaning: str
    value: Callable[[RowT], Any]

    def read(self, row: RowT) -> Any:
        """The row's value: None if unknown; an unknown text is empty."""
        value = self.value(row)
        return "" if value is None and self.kind == "text" else value


def attribute(path: str) -> Callable[[Any], Any]:
    """Reads a nested attribute by its dotted path; None where a part of the path is None."""

    def read(value: Any) -> Any:
        for name in path.split("."):
            value = None if value is None else getattr(value, name)
        return value

    return read


def _column(kind: Kind, name: str, meaning: str, value: str | Callable[[RowT], Any]) -> Column[RowT]:
    """A column whose value is a nested attribute of the row, by its dotted path, or computed from the row."""
    return Column(name, kind, meaning, attribute(value) if isinstance(value, str) else value)


text = partial(_column, "text")
count = partial(_column, "count")
number = partial(_column, "number")


# Columns of several tables. `record` of a row is that of its run, or of one of its runs.
SETTINGS: tuple[Column[Any], ...] = (
    text("experiment", "the experiment's name", "record.experiment"),
    text("dataset", "the dataset's name; its manifest is in the keys", "record.dataset.name"),
    text("entry", "the line of the experiment", "record.entry"),
    text("method", "the method behind the entry", "record.method"),
    text("backbone", "the network", "record.backbone"),
    text("budget", "what every run could spend, such as `10 epochs`", lambda at: budget_text(at.record)),
)
COMPARISON_KEY: Column[Any] = text(
    "comparison_key", "rows with equal ones are ranked together", lambda at: comparison_key(at.record)
)
KEYS: tuple[Column[Any], ...] = (
    COMPARISON_KEY,
    text("quality_key", "see above", lambda at: quality_key(at.record)),
    text("cost_key", "see above", lambda at: cost_key(at.record)),
    text(
        "rules_version",
        "of the rules of fair comparison ([RULES.md](../RULES.md)) that the runs follow",
        "record.rules_version",
    ),
)


def again(columns: Iterable[Column[RowT]], **meanings: str) -> tuple[Column[RowT], ...]:
    """Columns that the page has explained in a table above, with another meaning where one is given."""
    return tuple(replace(column, meaning=meanings.get(column.name, "as above")) for column in columns)


def names(columns: Iterable[Column[Any]]) -> tuple[str, ...]:
    """The columns' names in their order."""
    return tuple(column.name for column in columns)


def row_values(columns: Iterable[Column[RowT]], row: RowT) -> dict[str, Any]:
    """A row as plain data, by column."""
    return {column.name: column.read(row) for column in columns}


def frame(columns: Sequence[Column[RowT]], rows: Iterable[RowT]) -> pd.DataFrame:
    """Rows as a table, with nullable numbers."""
    import pandas as pd

    table = pd.DataFrame([row_values(columns, row) for row in rows], columns=list(names(columns)))
    return table.astype({column.name: _DTYPES.get(column.kind, "str") for column in columns})


def explained(columns: Iterable[Column[Any]]) -> str:
    """A Markdown table of names and meanings, for the documentation."""
    lines = [f"| `{column.name}` | {column.meaning} |\n" for column in columns]
    return "| column | meaning |\n| --- | --- |\n" + "".join(lines)
