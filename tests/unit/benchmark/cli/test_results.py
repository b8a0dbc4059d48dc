from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from made_costs import GPU_A, GPU_B, make_cost, make_priced, store_cost

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
    texts = [path.read_text(encoding="utf-8") for path in files]
    assert [name in text for name, text in zip(("simclr", "simclr", "SimCLR"), texts, strict=True)] == [True] * 3
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


def test_what_costs_were_measured_by_is_named_in_every_form(bench: Any, store: Any, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    runs = [make_priced("byol", seconds=123.0), make_priced("simclr", seconds=98.0)]
    for record in runs:
        store(folder, record)
    cost = make_cost(runs, {"byol": 1 / 7, "simclr": 1 / 7}, flags=["busy machine"])
    store_cost(folder, cost)
    named = (
        "measured on cpu, 2 threads, AVX512 BF16, bfloat16, torch 2.14 (step-cost record "
        f"{cost.key[:12]}, 8 rounds, 2026-01-06). Its seconds are in doubt: busy machine.\n"
    )
    code, printed = bench("leaderboard", folder)
    assert code == 0 and named in printed
    rows = [line for line in printed.splitlines() if line.startswith("| cifar10-jpeg")]
    assert [("byol" in row, "| +23% |" in row) for row in sorted(rows)] == [(True, True), (False, False)]
    files = [tmp_path / name for name in ("short.md", "short.tex")]
    assert bench("leaderboard", folder, "--markdown", files[0], "--latex", files[1])[0] == 0
    short, latex = (path.read_text(encoding="utf-8") for path in files)
    assert short.endswith(named) and "|\n\nBold: the highest mean" in short and "\n\nCosts of 10 epochs" in short
    assert latex.endswith(named) and "\n% Costs of 10 epochs" in latex


def test_the_leaderboard_is_priced_for_a_hardware_and_sorted_by_it(bench: Any, store: Any, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    runs = [make_priced("byol", top1=45.0), make_priced("simclr", top1=40.0)]
    for record in runs:
        store(folder, record)
    code, printed = bench("leaderboard", folder, "--hardware", "imaginary-a1-bf16")
    assert code == 2 and "there is no step-cost record; `bench cost FOLDER` makes one" in " ".join(printed.split())
    store_cost(folder, make_cost(runs, {"byol": 0.02, "simclr": 0.03}, GPU_A))
    store_cost(folder, make_cost(runs, {"byol": 0.08, "simclr": 0.01}, GPU_B))
    code, printed = bench("leaderboard", folder)
    assert code == 0 and "Calibrated" not in printed  # of two other kinds none is nearer
    for name, time, first in (
        ("imaginary-a1-bf16", "14.0 ± 0.3", "byol"),
        ("imaginary-b2-bf16", "56.0 ± 1.1", "simclr"),
    ):
        code, printed = bench("leaderboard", folder, "--hardware", name, "--by", "calibrated_time")
        rows = [line for line in printed.splitlines() if "| byol |" in line or "| simclr |" in line]
        assert code == 0 and "Calibrated (s)" in printed and "Calibrated device-hours" in printed
        assert "Costs of 10 epochs on cifar10-jpeg are calibrated: " in printed
        assert first in rows[0] and any(f"| {time} |" in row for row in rows if "byol" in row)
    code, printed = bench("leaderboard", folder, "--hardware", "imaginary-a1")
    assert code == 2 and "measured: imaginary-a1-bf16, imaginary-b2-bf16" in " ".join(printed.split())
    code, printed = bench("leaderboard", folder, "--runs", "--hardware", "imaginary-b2-bf16")
    assert code == 0 and "calibrated_time" in printed and ",56.0," in printed
    code, printed = bench("merge", folder, "--out", tmp_path / "all")
    assert "; 2 step-cost records taken" in printed and len(list((tmp_path / "all").rglob("costs/*.json"))) == 2
    (tmp_path / "costs alone").mkdir()
    (folder / "cifar10" / "costs").rename(tmp_path / "costs alone" / "costs")
    code, printed = bench("merge", tmp_path / "costs alone", "--out", tmp_path / "costs only")
    assert code == 0 and "0 runs taken, 0 were there, 0 refused; 2 step-cost records taken" in printed
