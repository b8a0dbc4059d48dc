"""The leaderboard in other forms: sorted by a column, short, as Markdown or LaTeX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.analysis.calibration import own_clock_text
from benchmark.analysis.names import display
from benchmark.errors import UserError
from benchmark.text import with_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

# Choices of --by: the column, and whether more is better.
SORTS: dict[str, tuple[str, bool]] = {
    "linear_top1": ("linear_top1_mean", True),
    "linear_top5": ("linear_top5_mean", True),
    "knn20": ("knn20_mean", True),
    "knn200": ("knn200_mean", True),
    "training_time": ("training_time_mean", False),
    "calibrated_time": ("calibrated_time_mean", False),
    "calibrated_device_hours": ("calibrated_device_hours_mean", False),
    "total_time": ("total_time_mean", False),
    "device_hours": ("device_hours_mean", False),
    "images_per_second": ("images_per_second_mean", True),
    "flops": ("flops_mean", False),
    "peak_memory": ("peak_memory_mib", False),
}

_TEXTS = {"Dataset", "Budget", "Entry", "Status", "Flags"}  # columns of the short table that hold no numbers


def sorted_by(board: pd.DataFrame, name: str) -> pd.DataFrame:
    """The leaderboard's rows sorted by a column inside each comparison, whose order stays; empty values come last.

    Raises:
        UserError: there is no such column to sort by.
    """
    if name not in SORTS:
        raise UserError(f"--by is '{name}'; choices: {', '.join(sorted(SORTS))}")
    column, falling = SORTS[name]
    parts = [
        part.sort_values(column, ascending=not falling, kind="stable", na_position="last")
        for _, part in board.groupby("comparison_key", sort=False)
    ]
    import pandas as pd

    return pd.concat(parts) if parts else board


def short(board: pd.DataFrame) -> pd.DataFrame:
    """The columns that fit into a paper's table, as text."""
    import pandas as pd

    def interval(row: Any, name: str, digits: int = 1) -> str:
        mean, width = row[f"{name}_mean"], row[f"{name}_ci95"]
        return with_interval(None if pd.isna(mean) else mean, None if pd.isna(width) else width, digits)

    def number(row: Any, column: str, form: Callable[[float], str]) -> str:
        return "" if pd.isna(row[column]) else form(float(row[column]))

    def calibrated(row: Any) -> str:
        low, mean, high = (row[f"calibrated_time_{part}"] for part in ("low", "mean", "high"))
        digits = 0 if pd.isna(mean) or mean >= 100 else 1 if mean >= 10 else 2 if mean >= 1 else 3
        return "" if pd.isna(mean) else with_interval(mean, (high - low) / 2, digits)

    rows = [
        {
            "Dataset": row["dataset"],
            "Budget": row["budget"],
            "Entry": row["entry"],
            "n": str(row["n_completed"]) if row["n_completed"] == row["n"] else f"{row['n_completed']} of {row['n']}",
            "Rank": row["rank"],
            "Linear top-1 (%)": interval(row, "linear_top1"),
            "kNN-20 (%)": interval(row, "knn20"),
            "kNN-200 (%)": interval(row, "knn200"),
            "Calibrated (s)": calibrated(row),
            "Training (s)": interval(row, "training_time", 0),
            "Own clock": number(row, "own_clock_ratio", own_clock_text),
            "Calibrated device-hours": number(row, "calibrated_device_hours_mean", lambda v: f"{v:.3g}"),
            "Device-hours": number(row, "device_hours_mean", lambda v: f"{v:.3g}"),
            "Images/s": number(row, "images_per_second_mean", lambda v: f"{v:,.0f}"),
            "Status": row["status"] + (" (preliminary)" if row["preliminary"] == "yes" else ""),
            "Flags": row["flags"],
        }
        for _, row in board.iterrows()
    ]
    table = pd.DataFrame(rows)
    return table[[name for name in table.columns if name == "Entry" or (table[name] != "").any()]]


def to_markdown(table: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """A Markdown table, with a paragraph for each note below it."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    escaped = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "".join([*(f"| {' | '.join(line)} |\n" for line in escaped), *(f"\n{note}\n" for note in notes)])


def to_latex(table: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """A LaTeX table with the rules of `booktabs`, with a comment for each note below it.

    Entries have their display names, and numbers are aligned on the right.
    """
    plain = table.assign(Entry=table["Entry"].map(display)).replace("±", "PLUSMINUS", regex=True)
    styled = plain.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    sides = "".join("l" if name in _TEXTS else "r" for name in table.columns)
    latex: str = styled.to_latex(hrules=True, column_format=sides)
    return latex.replace("PLUSMINUS", r"$\pm$") + "".join(f"% {note}\n" for note in notes)
