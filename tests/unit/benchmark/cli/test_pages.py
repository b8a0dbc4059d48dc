from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cli.pages import read_results, watch, write_pages
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
        ("epochs=0", "--budget: epochs is .*above 0"),
    ):
        with pytest.raises(UserError, match=message):
            write_pages([tmp_path / "results"], tmp_path / "out", budget=budget)


def test_a_calibrated_budget_is_selected_by_its_time(make_record: Any, store: Any, tmp_path: Path) -> None:
    for minutes, entry in ((10, "byol"), (20, "simclr")):
        budget = {"calibrated_time": 60.0 * minutes, "steps": 7 * minutes, "step_cost": "ab" * 16}
        store(tmp_path / "results", make_record(entry, budget=budget))
    write_pages([tmp_path / "results"], tmp_path / "out", budget="calibrated_time=10m")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "600 s of calibrated time" in text and "BYOL" in text and "SimCLR" not in text
    with pytest.raises(UserError, match="there are: 1200 s of calibrated time, 600 s of calibrated time"):
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
