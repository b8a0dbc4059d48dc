from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def results(make_record: Any, store: Any, tmp_path: Path) -> Path:
    """Two entries with two seeds each; SimCLR is better and slower."""
    folder = tmp_path / "results"
    for seed in (0, 1):
        store(folder, make_record("byol", seed, top1=40.0 + seed, seconds=50.0))
        store(folder, make_record("simclr", seed, top1=50.0 + seed, seconds=90.0))
    return folder


def test_the_leaderboard_is_printed_and_sorted(bench: Any, results: Path) -> None:
    code, printed = bench("leaderboard", results)
    assert code == 0
    assert 0 < printed.index("simclr") < printed.index("byol")
    code, printed = bench("leaderboard", results, "--by", "training_time")
    assert 0 < printed.index("byol") < printed.index("simclr")


def test_the_leaderboard_is_written_in_each_form(bench: Any, results: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("all.csv", "short.md", "short.tex")]
    code, printed = bench("leaderboard", results, "--csv", files[0], "--markdown", files[1], "--latex", files[2])
    assert (code, printed.split()) == (0, [str(path) for path in files])
    assert all("simclr" in path.read_text(encoding="utf-8") for path in files)
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 5  # a head, and a row for each run
    code, printed = bench("leaderboard", results, "--markdown", results)
    assert code == 2 and f"{results}: cannot be written" in printed


def test_a_row_for_each_run(bench: Any, results: Path) -> None:
    code, printed = bench("leaderboard", results, "--runs")
    assert code == 0
    assert [line.count("byol") > 0 for line in printed.splitlines()].count(True) == 2


def test_unreadable_records_are_named(bench: Any, results: Path) -> None:
    (results / "broken").mkdir()
    (results / "broken" / "record.json").write_text("{")
    code, printed = bench("leaderboard", results)
    assert code == 0 and "skipped: " in printed and "record.json: not a JSON file" in printed


def test_results_are_compared(bench: Any, results: Path, make_record: Any, store: Any, tmp_path: Path) -> None:
    for seed in (0, 1):
        store(tmp_path / "other", make_record("byol", seed, top1=44.0 + seed, seconds=50.0))
    code, printed = bench("compare", results, tmp_path / "other")
    assert code == 0
    row = next(line for line in printed.splitlines() if line.split()[:1] == ["byol"])
    assert "40.5 to 44.5" in row and "+4.0" in row


def test_merged_results_are_counted_and_refused_ones_are_exit_code_1(
    bench: Any, results: Path, make_record: Any, store: Any, tmp_path: Path
) -> None:
    good, out = tmp_path / "good", tmp_path / "merged"
    record = make_record(config={"seed": 0})
    (store(good, record).parent / "config.yaml").write_text(yaml.safe_dump(record.config))
    code, printed = bench("merge", good, "--out", out)
    assert code == 0 and printed.startswith(f"{out}: 1 runs taken, 0 were there, 0 refused")
    assert "0 runs taken, 1 were there" in bench("merge", good, "--out", out)[1]
    code, printed = bench("merge", results, "--out", out)  # their configurations name no seed
    assert code == 1 and printed.count("refused: ") == 4
