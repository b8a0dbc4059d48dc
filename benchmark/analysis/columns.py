"""What a column of a table is: its name, its kind, its explanation in docs/leaderboard.md, and how it is computed.

A new column is one entry in `leaderboard_columns.py`, `run_columns.py` or `probes.py`; `make docs` then explains it in
the documentation. Columns are stable within a `LEADERBOARD_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

LEADERBOARD_VERSION = 6

Kind = Literal["text", "count", "number"]
_DTYPES: dict[Kind, str] = {"count": "Int64", "number": "Float64"}
RowT = TypeVar("RowT")


@dataclass(frozen=True)
class Column(Generic[RowT]):
    """A column of a table.

    Attributes:
        name: in the file's header.
        kind: of its values.
        meaning: in Markdown, for the documentation.
        value: of a row; None if unknown.
    """

    name: str
    kind: Kind
    meaning: str
    value: Callable[[RowT], Any]

    def read(self, row: RowT) -> Any:
        """The row's value; an unknown text is empty."""
        value = self.value(row)
        return "" if value is None and self.kind == "text" else value


def text(name: str, meaning: str, value: Callable[[RowT], Any]) -> Column[RowT]:
    """A column of texts."""
    return Column(name, "text", meaning, value)


def count(name: str, meaning: str, value: Callable[[RowT], Any]) -> Column[RowT]:
    """A column of whole numbers."""
    return Column(name, "count", meaning, value)


def number(name: str, meaning: str, value: Callable[[RowT], Any]) -> Column[RowT]:
    """A column of real numbers."""
    return Column(name, "number", meaning, value)


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
