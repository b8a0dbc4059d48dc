from __future__ import annotations

from typing import Any

import pytest

from benchmark.analysis.export import SORTS, STANDINGS, short, sorted_by, to_latex, to_markdown
from benchmark.analysis.tables import leaderboard
from benchmark.errors import UserError


@pytest.fixture
def board(make_record: Any) -> Any:
    records = [make_record("byol", seed, top1=45.0 + seed, seconds=200.0) for seed in range(3)]
    records += [make_record("simclr", top1=50.0, seconds=300.0), make_record("random_init", top1=30.0)]
    records += [make_record("we_ird&co", method="vicreg", top1=20.0, seconds=10.0, budget={"epochs": 20})]
    records += [make_record("vicreg", status="failed", cause="exception", measured=False)]
    return leaderboard(records)


def test_rows_are_sorted_inside_their_comparison_and_missing_values_come_last(board: Any) -> None:
    assert list(board["entry"]) == ["simclr", "byol", "random_init", "vicreg", "we_ird&co"]
    assert list(sorted_by(board, "training_time")["entry"]) == ["random_init", "byol", "simclr", "vicreg", "we_ird&co"]
    assert list(sorted_by(board, "knn200")["entry"])[:2] == ["simclr", "byol"]
    assert all(len(sorted_by(board, name)) == len(board) for name in SORTS)
    with pytest.raises(UserError, match="--by is 'time'; choices: calibrated_device_hours"):
        sorted_by(board, "time")


def test_the_short_table_is_text_with_intervals(board: Any) -> None:
    table = short(board)
    byol = table[table["Entry"] == "byol"].iloc[0]
    assert byol["Linear top-1 (%)"] == "46.0 ± 2.5" and byol["n"] == "3" and byol["Status"] == "completed"
    failed = table[table["Entry"] == "vicreg"].iloc[0]
    assert failed["Linear top-1 (%)"] == "" and failed["n"] == "0 of 1" and "failed (exception)" in failed["Status"]
    assert "Rank" not in table.columns  # nobody has one


def test_markdown_and_latex_escape_what_means_something_there(board: Any) -> None:
    board.loc[board["entry"] == "byol", "entry"] = "by|ol"
    table = short(board)
    markdown = to_markdown(table).splitlines()
    assert len(markdown) == 2 + len(table) and all(line.startswith("| ") for line in markdown)
    assert any(r"by\|ol" in line for line in markdown)
    latex = to_latex(table)
    assert r"\toprule" in latex and r"\bottomrule" in latex
    assert r"we\_ird\&co" in latex and r"46.0 $\pm$ 2.5" in latex and r"(\%)" in latex


def test_latex_has_display_names_and_numbers_on_the_right(board: Any) -> None:
    table = short(board)
    lines = to_latex(table).splitlines()
    columns = [name for name in table.columns if name not in ("Dataset", "Budget")]
    sides = "".join("l" if name in ("Entry", "Status", "Flags") else "r" for name in columns)
    assert lines[0] == rf"\begin{{tabular}}{{{sides}}}" and "r" in sides
    assert any(line.startswith("BYOL & ") for line in lines) and any(
        line.startswith("random init & ") for line in lines
    )
    assert not any("random_init" in line or r"random\_init" in line for line in lines)


def test_latex_groups_rows_by_budget(board: Any) -> None:
    lines = to_latex(short(board)).splitlines()
    titles = [line for line in lines if r"\multicolumn" in line]
    assert [title.partition(r"\emph{")[2].partition("}")[0] for title in titles] == [
        "cifar10-jpeg, 10 epochs",
        "cifar10-jpeg, 20 epochs",
    ]
    assert lines.count(r"\midrule") == 2 and lines[lines.index(titles[1]) + 1].startswith(r"we\_ird\&co & ")


def test_the_best_is_bold_and_what_is_not_significantly_worse_is_underlined(board: Any) -> None:
    standings: list[Any] = ["best", "not worse", "", "", "best"]
    latex, markdown = to_latex(short(board), ["a note"], standings), to_markdown(short(board), ["a note"], standings)
    assert r"& \textbf{50.0} &" in latex and r"& \underline{46.0 $\pm$ 2.5} &" in latex
    assert "| **50.0** |" in markdown and "| <u>46.0 ± 2.5</u> |" in markdown
    assert latex.endswith(f"% {STANDINGS}\n% a note\n") and markdown.endswith(f"\n{STANDINGS}\n\na note\n")
