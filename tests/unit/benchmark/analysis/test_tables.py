from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
from made_records import make_external

from benchmark.analysis.export import short, to_latex, to_markdown
from benchmark.analysis.tables import leaderboard, write_leaderboard

if TYPE_CHECKING:
    from pathlib import Path

import subprocess
import sys
from pathlib import Path

from benchmark.analysis.columns import LEADERBOARD_VERSION, names
from benchmark.analysis.leaderboard_columns import LEADERBOARD
from benchmark.analysis.run_columns import RUNS
from benchmark.errors import UserError
from benchmark.records.folder import find_records

ROOT = Path(__file__).parents[4]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_hold_means_over_seeds_and_a_line_for_each_run(make_record: Any, store: Any, tmp_path: Path) -> None:
    for seed, (top1, seconds) in enumerate([(44.0, 100.0), (45.0, 110.0), (46.0, 120.0)]):
        store(tmp_path / "results", make_record("byol", seed, top1=top1, seconds=seconds, ema_top1=top1 + 2))
    failed = make_record(
        "simclr", status="failed", cause="out_of_memory", message="2, 3\n4", measured=False, flags=["cost-unsafe"]
    )
    store(tmp_path / "results", failed)
    store(tmp_path / "results", make_record("random_init", top1=33.0, config={"tags": ["different backbone"]}))
    found, problems = find_records([tmp_path / "results"])
    assert not problems
    board, runs = map(read, write_leaderboard(found, tmp_path / "tables"))

    assert [row["entry"] for row in board] == ["byol", "random_init", "simclr"]
    byol, floor, simclr = board
    assert tuple(byol) == names(LEADERBOARD)
    assert byol["schema_version"] == str(LEADERBOARD_VERSION)
    assert (byol["n"], byol["n_completed"], byol["preliminary"], byol["rank"]) == ("3", "3", "no", "")
    assert float(byol["linear_top1_mean"]) == 45.0 and float(byol["linear_top1_sd"]) == 1.0
    assert float(byol["linear_top1_ci95"]) == pytest.approx(2.4841377, rel=1e-6)
    assert float(byol["linear_top1_sampling95"]) == pytest.approx(0.975, abs=1e-3)
    assert float(byol["knn200_mean"]) == 42.0 and float(byol["linear_top5_mean"]) == 85.0
    assert (byol["encoder"], byol["other_encoder"], float(byol["other_linear_top1_mean"])) == ("online", "ema", 47.0)
    assert float(byol["training_time_mean"]) == 110.0 and float(byol["total_time_mean"]) == pytest.approx(125.7)
    assert float(byol["device_hours_mean"]) == pytest.approx(110 / 3600, rel=1e-6)
    assert float(byol["data_wait_share"]) == pytest.approx(0.02)
    assert float(byol["peak_memory_mib"]) == 900.0
    assert (byol["beats_random_init"], byol["status"], byol["commit"]) == ("yes", "completed", "3d5bcc200000")

    assert (floor["tags"], floor["beats_random_init"], floor["linear_top1_ci95"]) == ("different backbone", "", "")
    assert (floor["images_per_second_mean"], floor["data_wait_share"], floor["training_time_mean"]) == ("", "", "0")

    assert (simclr["status"], simclr["flags"]) == ("failed (out_of_memory)", "cost-unsafe")
    assert {simclr[name] for name in names(LEADERBOARD) if "mean" in name or "ci95" in name} == {""}

    assert tuple(runs[0]) == names(RUNS)
    assert [(row["entry"], row["seed"]) for row in runs[:3]] == [("byol", "0"), ("byol", "1"), ("byol", "2")]
    assert (runs[-1]["cause"], runs[-1]["message"], runs[-1]["linear_top1"]) == ("out_of_memory", "2, 3\n4", "")
    for row, (path, record) in zip(
        sorted(runs, key=lambda r: r["key"]), sorted(found, key=lambda f: f[1].key), strict=True
    ):
        assert row["key"] == record.key
        assert (tmp_path / "tables" / row["record"]).resolve() == path.resolve()


def test_texts_that_spreadsheets_take_for_formulas_are_guarded_and_numbers_are_not(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    record = make_record("byol", status="failed", measured=False, message="=cmd|' /C calc'!A0")
    path = store(tmp_path / "results", record)
    _, runs = write_leaderboard([(path, record)], tmp_path)
    (row,) = read(runs)
    assert row["message"] == "'=cmd|' /C calc'!A0" and row["seed"] == "0"


def test_rows_stand_by_budget_and_then_by_accuracy(make_record: Any) -> None:
    records = [
        make_record(entry, top1=top1, budget={"epochs": epochs})
        for entry, top1, epochs in [("byol", 40.0, 10), ("simclr", 45.0, 10), ("byol", 39.0, 2), ("simclr", 38.0, 2)]
    ]
    table = leaderboard(records)
    assert list(zip(table["budget"], table["entry"], strict=True)) == [
        ("2 epochs", "byol"),
        ("2 epochs", "simclr"),
        ("10 epochs", "simclr"),
        ("10 epochs", "byol"),
    ]
    assert table["comparison_key"].nunique() == 2


def test_two_runs_with_one_seed_and_different_keys_are_flagged(make_record: Any) -> None:
    twice = [make_record(key="a" * 16), make_record(key="b" * 16)]
    table = leaderboard(twice)
    assert (table["n"][0], table["flags"][0]) == (2, "repeated seed")


@pytest.mark.slow
def test_nothing_in_the_reading_wing_needs_torch() -> None:
    modules = ["comparison", "statistics", "tables"]
    names = [f"benchmark.analysis.{name}" for name in modules]
    names += [
        f"benchmark.report.{name}"
        for name in ("style", "labels", "canvas", "curves", "cost_figure", "summary", "tables", "page")
    ]
    script = (
        f"import sys, {', '.join(names)}\n"
        "heavy = {'torch', 'timm', 'methods.registry', 'benchmark.data', 'pandas', 'matplotlib', 'seaborn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "benchmark.report.style.applied()\n"
        "benchmark.analysis.tables.leaderboard([])\n"
        "print(sorted({'torch', 'timm', 'lightly', 'methods.registry'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_the_leaderboard_may_have_another_name_but_not_that_of_the_runs(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    found = [(store(tmp_path / "results", make_record()), make_record())]
    board, runs = write_leaderboard(found, tmp_path, name="board.csv")
    assert (board, runs) == (tmp_path / "board.csv", tmp_path / "runs.csv")
    assert len(read(board)) == len(read(runs)) == 1
    with pytest.raises(UserError, match=r"runs\.csv"):
        write_leaderboard(found, tmp_path, name="runs.csv")


HIGH = [50.0, 51.0, 50.4, 51.3, 50.2]


ALIKE = [50.1, 50.8, 50.5, 51.2, 50.1]  # mean difference to HIGH 0.04, within its spread


LOW = [40.0, 41.4, 40.1, 41.9, 40.3]


def test_every_table_writes_it_alike(make_record: Any, store: Any, tmp_path: Path) -> None:
    found = [
        (store(tmp_path / "results", record), record)
        for entry, scores in {"byol": HIGH, "simclr": ALIKE, "vicreg": LOW}.items()
        for record in [make_record(entry, seed, top1=top1) for seed, top1 in enumerate(scores)]
    ]
    path, _ = write_leaderboard(found, tmp_path / "tables")
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row["entry"]: (row["rank"], row["schema_version"]) for row in csv.DictReader(file)}
    assert rows == {"byol": ("tie 1", "9"), "simclr": ("tie 1", "9"), "vicreg": ("3", "9")}
    table = short(leaderboard([record for _, record in found]))
    assert list(table["Rank"]) == ["tie 1", "tie 1", "3"]
    assert "| tie 1 |" in to_markdown(table) and "& tie 1 &" in to_latex(table)


def test_an_encoder_trained_elsewhere_stands_in_its_hosts_comparison_without_a_cost(make_record: Any) -> None:
    board = leaderboard([make_record("byol", top1=45.0), make_external(top1=50.0)])
    assert list(board["entry"]) == ["theirs", "byol"]
    assert board["comparison_key"].nunique() == 1
    assert board["training_time_mean"].isna().tolist() == [True, False]
    assert board["device_hours_mean"].isna().tolist() == [True, False]
    assert list(board["rank"]) == ["", ""]
