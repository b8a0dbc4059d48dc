from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
from made_costs import CPU, GPU_A, GPU_B, make_cost, make_priced, store_cost

from benchmark.cli.pages import read_prices, read_results, watch, write_pages
from benchmark.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_report_of_one_budget_alone(make_record: Any, store: Any, tmp_path: Path) -> None:
    for epochs, entry in ((2, "byol"), (10, "simclr")):
        store(tmp_path / "results", make_record(entry, budget={"epochs": epochs}))
    write_pages([tmp_path / "results"], tmp_path / "out", budget="epochs=2")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "BYOL" in text and "SimCLR" not in text
    for budget, message in (
        ("epochs=3", "--budget is 'epochs=3', which no run had; there are: 10 epochs, 2 epochs"),
        ("epoch=2", "unknown kind 'epoch'; did you mean 'epochs'"),
        ("epochs=0", "--budget: epochs is .*at least 1e-06"),
    ):
        with pytest.raises(UserError, match=message):
            write_pages([tmp_path / "results"], tmp_path / "out", budget=budget)


def test_a_prediction_for_a_report_needs_rungs_to_be_made_from(make_record: Any, store: Any, tmp_path: Path) -> None:
    store(tmp_path / "results", make_record("byol", budget={"epochs": 2}))
    for predict, message in (
        ("epochs=64", "a prediction needs at least 3 rungs of an entry, such as epochs=2,4,8; too few: byol with 1"),
        ("steps=64", "no run had a budget of steps"),
        ("epoch=64", "--predict: unknown kind 'epoch'; did you mean 'epochs'"),
    ):
        with pytest.raises(UserError, match=message):
            write_pages([tmp_path / "results"], tmp_path / "out", predict=predict)
    assert not (tmp_path / "out").exists()


def test_a_calibrated_budget_is_selected_by_its_time(make_record: Any, store: Any, tmp_path: Path) -> None:
    for minutes, entry in ((10, "byol"), (20, "simclr")):
        budget = {"calibrated_time": 60.0 * minutes, "steps": 7 * minutes, "step_cost": "ab" * 16}
        store(tmp_path / "results", make_record(entry, budget=budget))
    write_pages([tmp_path / "results"], tmp_path / "out", budget="calibrated_time=10m")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "600 s of calibrated time" in text and "BYOL" in text and "SimCLR" not in text
    with pytest.raises(UserError, match="there are: 1200 s of calibrated time by step cost abababab, 600 s of"):
        write_pages([tmp_path / "results"], tmp_path / "out", budget="steps=70")


def test_runs_of_sweeps_are_left_out_unless_asked_for(make_record: Any, store: Any, tmp_path: Path) -> None:
    store(tmp_path, make_record("byol"))
    store(tmp_path, make_record("simclr", purpose="trial"))
    assert [record.entry for _, record in read_results([tmp_path])[0]] == ["byol"]
    assert len(read_results([tmp_path], trials=True)[0]) == 2


def test_a_folder_without_records_is_an_error_that_names_what_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(UserError) as caught:
        read_results([tmp_path])
    first, second = str(caught.value).splitlines()
    assert first == f"no record of a run below {tmp_path}"
    assert "record.json: not a JSON file" in second
    assert len(read_results([tmp_path], needed=False)[1]) == 1


def test_a_watched_report_follows_its_records_and_ends_with_ctrl_c(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    results, out = tmp_path / "results", tmp_path / "report"
    results.mkdir()
    said: list[str] = []
    seen: list[str] = []
    acts = [
        lambda: store(results, make_record("byol")),
        lambda: None,
        lambda: (results / "notes.txt").write_text("of no concern"),
        lambda: store(results, make_record("simclr")),
        lambda: None,
    ]

    def wait(seconds: float) -> None:
        seen.append((out / "report.md").read_text(encoding="utf-8") if out.exists() else "")
        if not acts:
            raise KeyboardInterrupt
        acts.pop(0)()

    def write() -> str:
        write_pages([results], out)
        return str(out / "index.html")

    watch([results], write, said.append, wait)
    assert said[0].startswith("waiting: no record") and said[-1] == "stopped watching"
    assert [line.split(" ")[-1] for line in said[1:-1]] == [str(out / "index.html")] * 2  # written only on a change
    assert [("BYOL" in text, "SimCLR" in text) for text in seen] == [
        (False, False),
        *[(True, False)] * 3,
        *[(True, True)] * 2,
    ]


def test_watching_a_folder_that_is_missing_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        watch([tmp_path / "nowhere"], lambda: "", print)


@pytest.fixture
def measured(store: Any, tmp_path: Path) -> Path:
    """Runs of two entries, and what their steps cost on two invented GPUs: BYOL is cheap on A1, SimCLR on B2."""
    folder = tmp_path / "results"
    runs = [make_priced(entry, top1=top1) for entry, top1 in (("byol", 45.0), ("simclr", 40.0), ("random_init", 30.0))]
    for record in runs:
        store(folder, record)
    store_cost(folder, make_cost(runs, {"byol": 0.02, "simclr": 0.03}, GPU_A))
    store_cost(folder, make_cost(runs, {"byol": 0.08, "simclr": 0.01}, GPU_B))
    return folder


@pytest.mark.parametrize(
    ("hardware", "text", "cheapest", "times"),
    [
        ("imaginary-a1-bf16", "Imaginary A1, bfloat16, torch 2.14", "BYOL is also", {"byol": 14.0, "simclr": 21.0}),
        ("imaginary-b2-bf16", "Imaginary B2, bfloat16, torch 2.14", "SimCLR is", {"byol": 56.0, "simclr": 7.0}),
    ],
)
def test_a_report_is_priced_for_the_hardware_that_is_asked_for(
    measured: Path, tmp_path: Path, hardware: str, text: str, cheapest: str, times: dict[str, float]
) -> None:
    write_pages([measured], tmp_path / "out", hardware=hardware)
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert f"{cheapest} the cheapest to train in calibrated time on {text}" in report
    assert f"Costs of 10 epochs on cifar10-jpeg are calibrated: steps x seconds per step, measured on {text}" in report
    assert "Imaginary A1, bfloat16, torch 2.14 (÷ BYOL) | Imaginary B2" in report
    with (tmp_path / "out" / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        board = {row["entry"]: row for row in csv.DictReader(file) if row["step_cost"]}
    assert {entry: float(row["calibrated_time_mean"]) for entry, row in board.items()} == pytest.approx(times)
    assert {row["calibrated_on"] for row in board.values()} == {text}
    assert len((tmp_path / "out" / "costs.csv").read_text().splitlines()) == 5  # a head, and two entries on two GPUs


def test_step_costs_below_the_folders_are_read_once_and_changed_ones_are_named(measured: Path, tmp_path: Path) -> None:
    prices, problems = read_prices([measured, measured / "cifar10"])
    assert (len(prices.costs), prices.wish, problems) == (2, None, [])
    path = next(measured.rglob("costs/*.json"))
    path.write_text(path.read_text().replace('"steps": 10', '"steps": 11'))
    prices, problems = read_prices([measured])
    assert len(prices.costs) == 1 and "its content gives" in problems[0]
    with pytest.raises(UserError, match="--hardware is 'h100', which was not measured; measured: "):
        read_prices([measured], "h100")


def test_a_watched_report_notices_a_new_step_cost(measured: Path) -> None:
    runs = [make_priced("byol"), make_priced("simclr")]
    acts = [lambda: store_cost(measured, make_cost(runs, {"byol": 1.0, "simclr": 1.0}, CPU)), lambda: None]
    written: list[int] = []

    def write() -> str:
        written.append(len(read_prices([measured])[0].costs))
        return "page"

    def wait(seconds: float) -> None:
        if not acts:
            raise KeyboardInterrupt
        acts.pop(0)()

    watch([measured], write, lambda line: None, wait)
    assert written == [2, 3]
