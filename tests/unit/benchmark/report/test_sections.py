from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from made_costs import GPU_A, GPU_B, make_cost, make_priced, store_cost
from made_records import forge, make_external
from report_page import report

from benchmark.cli.pages import write_pages
from benchmark.report import section_figures

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "there", "absent"),
    [
        (
            {"encoder": 0.01, "target_encoder": 0.01, "loss": 0.01},
            "the target encoder is its moving average",
            "older records",
        ),
        ({"encoder": 0.01, "head": 0.01, "loss": 0.01}, "projector and predictor are all heads", "target encoder"),
        ({"forward": 0.03, "backward": 0.02}, "In older records the forward pass is one part", "projector"),
    ],
)
def test_the_steps_caption_explains_the_parts_that_are_there(
    make_record: Any, store: Any, tmp_path: Path, parts: dict[str, float], there: str, absent: str
) -> None:
    path = store(tmp_path / "results", make_record("byol"))
    path.with_name("breakdown.json").write_text(json.dumps({"parts": parts}), encoding="utf-8")
    page, markdown = report(store, tmp_path, [])
    caption = next(line for line in markdown.splitlines() if line.startswith("*Where the time of a step goes"))
    assert there in caption and absent not in caption
    assert "Forward is all that makes the loss" not in page.words


@pytest.mark.slow
def test_runs_that_were_evaluated_once_have_no_curve_and_the_report_says_so(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    path = store(tmp_path / "results", make_record("byol"))
    history = path.with_name("history.jsonl")
    history.write_text(history.read_text(encoding="utf-8").splitlines()[-1] + "\n", encoding="utf-8")
    forge(path, json.loads(path.read_text(encoding="utf-8")))
    page, markdown = report(store, tmp_path, [])
    sentence = "No learning curves: each run was evaluated only once."
    assert sentence in page.words and sentence in markdown
    assert not list((tmp_path / "report" / "figures").glob("learning_curves*"))


@pytest.mark.slow
def test_the_main_figure_follows_the_hardware_and_joins_machines_where_cost_is_calibrated(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(section_figures, "machine_figures", lambda *_: [])  # the others take long and have no costs
    results = tmp_path / "results"
    there = {"device_model": "H200", "device": "cuda"}
    runs = [make_priced("byol", top1=45.0), make_priced("simclr", top1=40.0, environment=there)]
    for record in runs:
        store(results, record)
    store_cost(results, make_cost(runs, {"byol": 0.02, "simclr": 0.03}, GPU_A))
    store_cost(results, make_cost(runs, {"byol": 0.08, "simclr": 0.01}, GPU_B))

    def figures(name: str, **options: Any) -> dict[str, str]:
        write_pages([results], tmp_path / name, **options)
        return {
            path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / name / "figures").glob("cost*[!n].svg")
        }

    assert sorted(figures("own")) == ["cost_vs_accuracy-a", "cost_vs_accuracy-b"]  # a clock each
    drawn = [figures(name, hardware=f"imaginary-{name}-bf16") for name in ("a1", "b2")]
    assert list(map(list, drawn)) == [["cost_vs_accuracy"]] * 2
    a1, b2 = (figure["cost_vs_accuracy"] for figure in drawn)
    assert ">on Imaginary A1, bfloat16, torch 2.14</text>" in a1 and ">SimCLR</text>" in a1 and ">BYOL</text>" in a1
    assert ">on Imaginary B2, bfloat16, torch 2.14</text>" in b2 and ">Calibrated time (seconds)</text>" in b2
    page = (tmp_path / "b2" / "index.html").read_text(encoding="utf-8")
    assert page.count("Cost and accuracy</strong>") == 1
    # The same entry on two machines is not drawn twice.
    store(results, make_priced("byol", 1, top1=44.0, environment=there))
    assert sorted(figures("twice", hardware="imaginary-a1-bf16")) == ["cost_vs_accuracy-a", "cost_vs_accuracy-b"]


@pytest.mark.slow
def test_calibrated_budgets_of_several_machines_share_a_figure_and_budgets_of_own_time_do_not(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(section_figures, "machine_figures", lambda *_: [])
    there = {"device_model": "H200", "device": "cuda"}
    first = [make_priced("byol", top1=45.0), make_priced("simclr", top1=40.0)]
    cost = make_cost(first, {"byol": 0.05, "simclr": 0.1}, GPU_A)

    def figures(name: str, budgets: list[dict[str, Any]]) -> dict[str, str]:
        for budget in budgets:
            store(tmp_path / name, make_priced("byol", top1=45.0, budget=budget))
            store(tmp_path / name, make_priced("simclr", top1=40.0, budget=budget, environment=there))
        store_cost(tmp_path / name, cost)
        write_pages([tmp_path / name], tmp_path / f"{name}-report")
        paths = (tmp_path / f"{name}-report" / "figures").glob("cost*[!n].svg")
        return {path.stem: path.read_text(encoding="utf-8") for path in paths}

    calibrated = figures("one", [{"calibrated_time": limit, "step_cost": cost.key} for limit in (60, 120)])
    assert list(calibrated) == ["cost_vs_accuracy"]
    assert ">on Imaginary A1, bfloat16, torch 2.14</text>" in calibrated["cost_vs_accuracy"]
    own = figures("two", [{"calibrated_time": 60, "step_cost": cost.key}, {"wall_clock": 60}])
    assert sorted(own) == ["cost_vs_accuracy-a", "cost_vs_accuracy-b"]
    assert not any("Imaginary" in text or "Calibrated time" in text for text in own.values())


@pytest.mark.slow
def test_a_prediction_is_drawn_in_its_ladders_section_where_it_was_asked_for(
    make_record: Any, store: Any, tmp_path: Path
) -> None:
    for entry, values in {"byol": (30.0, 40.0, 45.0), "simclr": (38.0, 42.0, 44.0)}.items():
        for epochs, top1 in zip((1, 4, 16), values, strict=True):
            store(tmp_path / "results", make_record(entry, top1=top1, budget={"epochs": epochs}))
    write_pages([tmp_path / "results"], tmp_path / "plain")
    assert not list((tmp_path / "plain" / "figures").glob("prediction*"))
    assert "rediction" not in (tmp_path / "plain" / "report.md").read_text(encoding="utf-8")
    write_pages([tmp_path / "results"], tmp_path / "asked", predict="epochs=64")
    drawn = {path.name for path in (tmp_path / "asked" / "figures").glob("prediction*")}
    assert drawn == {f"prediction{part}.{ending}" for part in ("", "-column") for ending in ("svg", "png")}
    markdown = (tmp_path / "asked" / "report.md").read_text(encoding="utf-8")
    assert "*Prediction for 64 epochs.*" in markdown and "cannot check the prediction" in markdown
    assert "Prediction for 64 epochs" in (tmp_path / "asked" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_encoders_trained_elsewhere_have_rows_and_no_empty_chart(make_record: Any, store: Any, tmp_path: Path) -> None:
    page, markdown = report(store, tmp_path, [make_external(top1=41.0)])
    assert "On cifar10-jpeg, theirs reaches a linear top-1 of 41.0" in page.words
    assert not list((tmp_path / "report").rglob("*.svg"))
    _, markdown = report(store, tmp_path, [make_external(top1=41.0), make_record("byol", top1=45.0)])
    table = markdown[markdown.index("| Entry") :].partition("\n\n")[0]
    assert table.index("BYOL") < table.index("theirs")
    assert "theirs" not in next(line for line in markdown.splitlines() if "linear top-1" in line)  # the answer
    assert (tmp_path / "report" / "figures" / "cost_vs_accuracy.svg").is_file()
