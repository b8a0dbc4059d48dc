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

    from benchmark.analysis.standings import Standing

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
_GROUPS = ("Dataset", "Budget")  # of the rows of a LaTeX table
_MARKED = "Linear top-1 (%)"
STANDINGS = "Bold: the highest mean linear top-1 of the self-supervised entries; underlined: not significantly lower."
_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "<": r"$<$",
        ">": r"$>$",
        "\n": " ",
    }
)


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


def to_markdown(table: pd.DataFrame, notes: Sequence[str] = (), standings: Sequence[Standing] = ()) -> str:
    """A Markdown table, numbers on the right, with a paragraph for each note below it.

    `standings`, one per row, make the best accuracy of each comparison bold and underline those not significantly
    worse.
    """
    sides = ["---" if name in _TEXTS else "---:" for name in table.columns]
    rows = _marked(table, standings, {"best": "**{}**", "not worse": "<u>{}</u>"}).to_numpy().tolist()
    lines = [table.columns.tolist(), sides, *rows]
    escaped = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    below = [*([STANDINGS] if any(standings) else []), *notes]
    return "".join([*(f"| {' | '.join(line)} |\n" for line in escaped), *(f"\n{note}\n" for note in below)])


def to_latex(table: pd.DataFrame, notes: Sequence[str] = (), standings: Sequence[Standing] = ()) -> str:
    """A LaTeX table with the rules of `booktabs`, a group of rows per dataset and budget, and a comment for each note.

    Entries have their display names, and numbers are aligned on the right. `standings` are as in `to_markdown`.
    """
    plain = table.assign(Entry=table["Entry"].map(display)).map(_escaped)
    marked = _marked(plain, standings, {"best": r"\textbf{{{}}}", "not worse": r"\underline{{{}}}"})
    grouping = [name for name in _GROUPS if name in table.columns]
    columns = [name for name in table.columns if name not in grouping]
    sides = "".join("l" if name in _TEXTS else "r" for name in columns)
    lines = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", " & ".join(map(_escaped, columns)) + r" \\"]
    groups = marked.groupby(grouping, sort=False) if grouping else [((), marked)]
    for names, rows in groups:
        title = rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{{', '.join(str(name) for name in names if name)}}}}} \\"
        lines += [r"\midrule", *([title] if grouping else [])]
        lines += [" & ".join(row) + r" \\" for row in rows[columns].to_numpy().tolist()]
    below = [*([STANDINGS] if any(standings) else []), *notes]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in below), ""])


def _marked(table: pd.DataFrame, standings: Sequence[Standing], marks: dict[str, str]) -> pd.DataFrame:
    """The table with marks around the accuracies of the best rows."""
    if not any(standings) or _MARKED not in table.columns:
        return table
    cells = [marks.get(standing, "{}").format(cell) for standing, cell in zip(standings, table[_MARKED], strict=True)]
    return table.assign(**{_MARKED: cells})


def _escaped(text: str) -> str:
    return str(text).translate(_LATEX)
