"""Sections of a report about sweeps."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from studies import DEPTH, STRATEGY, make_front_study, make_run, make_study

from benchmark.files import write_atomically
from benchmark.records.folder import find_records
from benchmark.records.study import EntryStudy, ParameterRange, TrialOutcome, find_studies, read_study
from benchmark.report.front_figure import front_of, front_sentence, trial_front
from benchmark.report.page import write_report
from benchmark.report.study_figures import effect_plots, heat_map, importances, pairs_of, trial_curves

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def test_a_report_of_a_study_alone(tmp_path: Path) -> None:
    path = tmp_path / "results" / "depth" / "study.json"
    write_atomically(path, make_study().model_dump_json())
    studies, problems = find_studies([tmp_path / "results"])
    assert problems == [] and studies[0][1] == make_study()
    page = write_report([], problems, tmp_path / "report", studies=studies).read_text(encoding="utf-8")
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    plain = " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", page, flags=re.DOTALL).split())
    for text in (plain, " ".join(markdown.replace("\\", "").split())):
        assert "depth: a study on cifar10, epochs=10" in text
        assert "8 of 9 trials are complete, each the mean of 3 seeds, sampler grid." in text
        assert "Beside them: 1 pruned." in text
        assert "The sweep took 12.50 device-hours of training, 15.00 with set-up and probes." in text
        assert "0.50 went into runs that were given up" in text
        assert "marked unsafe (resumed)" in text
        assert "cnn_jepa.predictor_depth: " in text and "above 1 by" in text
        assert "cnn_jepa.masking.strategy: no difference seen between mixed and random" in text
        assert "given up at 40% of its budget" in text
        assert "their book" in text and "73.2" in text and "69.2" in text  # also of a value that we did not try
        assert "No row is ranked" not in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    names = {file.name for file in (tmp_path / "report" / "figures").glob("*.svg")}
    assert names == {f"study-depth-cnn_jepa-{kind}.svg" for kind in ("effects", "pair-1", "importances", "curves")}
    rows = list(csv.DictReader((tmp_path / "report" / "trials-depth.csv").open()))
    assert len(rows) == 25 and rows[0][DEPTH] == "1"
    assert {"complete", "pruned"} == {row["state"] for row in rows}


def test_a_study_stands_beside_results(tmp_path: Path, make_record: Any, store: Any) -> None:
    store(tmp_path / "r", make_record("byol"))
    write_atomically(tmp_path / "r" / "depth" / "study.json", make_study(seeds=1).model_dump_json())
    found, _ = find_records([tmp_path / "r"])
    studies, _ = find_studies([tmp_path / "r"])
    page = write_report(found, [], tmp_path / "out", studies=studies).read_text(encoding="utf-8")
    assert 'id="s1"' in page and 'id="study1"' in page
    assert "Fewer than three seeds: preliminary." in page
    assert len(re.findall(r'\sid="([^"]+)"', page)) == len(set(re.findall(r'\sid="([^"]+)"', page)))


def _panels(figure: Figure | None) -> list[Any]:
    assert figure is not None
    return [axes for axes in figure.axes if axes.axison]


def test_effects_show_every_run_and_an_interval_per_value() -> None:
    from benchmark.analysis.studies import effects

    study = make_study().studies[0]
    strategy, depth = _panels(effect_plots(effects(study), study))
    points = [len(collection.get_offsets()) for collection in depth.collections if len(collection.get_offsets()) > 1]
    assert points[:4] == [6, 6, 6, 6]  # two strategies x three seeds
    assert [label.get_text() for label in depth.get_xticklabels()] == ["1", "2", "3", "4"]
    assert [label.get_text() for label in strategy.get_xticklabels()] == ["mixed", "random"]
    low, high = depth.get_ylim()
    assert low < 44.0 and high > 52.0 and strategy.get_ylim() == (low, high)


def test_intervals_over_three_seeds_are_shown_whole() -> None:
    from benchmark.analysis.studies import effects

    scores = {"mixed": [40.0, 40.1, 43.0], "random": [41.0, 41.1, 41.2]}  # the first interval: 41.0 ± 4.2
    trials = [
        TrialOutcome(
            number=i, point=i, state="complete", entry="cnn_jepa", value=sum(values) / 3,
            runs=[make_run(seed, value) for seed, value in enumerate(values)],
            parameters={"cnn_jepa.masking.strategy": name},
        )
        for i, (name, values) in enumerate(scores.items())
    ]  # fmt: skip
    study = EntryStudy(
        entry="cnn_jepa", storage_name="x", trials=trials,
        parameters={"cnn_jepa.masking.strategy": ParameterRange(values=list(scores))},
    )  # fmt: skip
    (panel,) = _panels(effect_plots(effects(study), study))
    low, high = panel.get_ylim()
    assert low < 41.03 - 4.2 and high > 41.03 + 4.2


def test_a_drawn_parameter_is_a_cloud_on_its_own_axis() -> None:
    from benchmark.analysis.studies import effects

    trials = [
        TrialOutcome(
            number=i, point=i, state="complete", entry="e", value=40.0 + i, runs=[make_run(0, 40.0 + i)],
            parameters={"byol.optimizer.lr": 0.0001 * 2**i},
        )
        for i in range(6)
    ]  # fmt: skip
    study = EntryStudy(
        entry="byol", storage_name="x", trials=trials,
        parameters={"byol.optimizer.lr": ParameterRange(low=0.0001, high=0.01, log=True)},
    )  # fmt: skip
    (panel,) = _panels(effect_plots(effects(study), study))
    assert panel.get_xscale() == "log" and panel.get_title(loc="left") == "BYOL: optimizer.lr"
    assert heat_map(study, "byol.optimizer.lr", "byol.optimizer.lr") is None
    assert importances(study) is None and pairs_of(study) == []
    assert trial_curves(study) is not None


def test_maps_name_each_combination() -> None:
    study = make_study().studies[0]
    ((first, second),) = pairs_of(study)
    assert (first, second) == (DEPTH, STRATEGY)  # the more important one first
    (panel,) = _panels(heat_map(study, first, second))
    assert len(panel.texts) == 8


def test_what_is_no_study_is_named(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    for text, message in (("{", "not a JSON file"), ('{"schema_version": 9}', "schema_version is 9, expected 1")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_study(path)
    found, problems = find_studies([tmp_path])
    assert found == [] and len(problems) == 1


def test_studies_are_reported_without_torch_and_optuna(tmp_path: Path) -> None:
    write_atomically(tmp_path / "r" / "study.json", make_study().model_dump_json())
    program = (
        f"import sys; sys.argv = ['bench', 'report', {str(tmp_path / 'r')!r}, '--out', {str(tmp_path / 'o')!r}]\n"
        "from benchmark.cli.main import app\ntry: app()\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'optuna', 'sqlalchemy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_seed_of_a_trial_links_to_its_record(tmp_path: Path) -> None:
    runs = [make_run(seed, 40.0, record=f"e/seed <{seed}>/record.json") for seed in range(3)]
    trial = TrialOutcome(number=0, point=0, state="complete", entry="e", value=40.0, runs=runs, parameters={DEPTH: 1})
    one = EntryStudy(entry="cnn_jepa", storage_name="x", trials=[trial], parameters={DEPTH: ParameterRange(values=[1])})
    path = tmp_path / "results" / "depth" / "study.json"
    write_atomically(path, make_study(studies=[one], published=[]).model_dump_json())
    studies, _ = find_studies([tmp_path / "results"])
    page = write_report([], [], tmp_path / "report", studies=studies).read_text(encoding="utf-8")
    links = [f"../results/depth/e/seed%20%3C{seed}%3E/record.json" for seed in range(3)]
    assert re.findall(r'href="([^"]*record.json)"', page) == links
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "seed " + ", ".join(f"[{seed}](<{link}>)" for seed, link in enumerate(links)) in markdown


def test_a_single_point_is_no_curve_and_the_report_says_so(tmp_path: Path) -> None:
    study = make_study().studies[0]
    once = [
        trial.model_copy(update={"runs": [run.model_copy(update={"curve": run.curve[-1:]}) for run in trial.runs]})
        for trial in study.trials
    ]
    alone = study.model_copy(update={"trials": once})
    assert trial_curves(alone) is None and trial_curves(study) is not None
    figure = trial_curves(study.model_copy(update={"trials": [*once[1:], study.trials[0]]}))
    assert figure is not None and len(figure.axes[0].lines) == 1
    sentence = "No learning curves: each trial was evaluated once, and a point is no curve."
    for one, said in ((alone, True), (study, False)):
        write_atomically(tmp_path / "r" / "study.json", make_study(studies=[one]).model_dump_json())
        studies, _ = find_studies([tmp_path / "r"])
        page = write_report([], [], tmp_path / "out", studies=studies).read_text(encoding="utf-8")
        assert (sentence in page) == said
        assert (sentence in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")) == said


def test_a_study_of_accuracy_against_cost_shows_its_front(tmp_path: Path) -> None:
    (study,) = make_front_study().studies
    assert [trial.point for trial in front_of(study)] == [0, 1, 3]
    assert front_sentence(study) == (
        "On the Pareto front of accuracy and device-hours: trial 0 (40.0% for 0.1 device-hours), trial 1 (46.0% for "
        "0.2 device-hours) and trial 3 (49.0% for 0.5 device-hours)."
    )
    for width in (3.3, 6.9):
        figure = trial_front(study, width=width)
        assert figure is not None
        (axes,) = figure.axes
        (step,) = [line for line in axes.lines if line.get_linewidth() > 2]
        right, low = axes.get_xlim()[1], axes.get_ylim()[0]
        corners = [(0.1, low), (0.1, 40.0), (0.2, 40.0), (0.2, 46.0), (0.5, 46.0), (0.5, 49.0), (right, 49.0)]
        np.testing.assert_allclose(np.asarray(step.get_xydata(), dtype=float), np.asarray(corners))
        assert {text.get_text() for text in axes.texts} == {"trial 0", "trial 1", "trial 3", "Pareto front"}
        clouds = [len(np.asarray(one.get_offsets())) for one in axes.collections]
        assert sorted(clouds) == [1, 1, 1, 1, 1, 10]  # five trials, two seeds of each
        frame = axes.get_window_extent()
        for text in axes.texts:
            box = text.get_window_extent()
            assert box.x0 >= frame.x0 and box.x1 <= frame.x1 + 1 and box.y1 <= frame.y1 + 1
    assert trial_front(study.model_copy(update={"trials": study.trials[:1]})) is None
    for made, there in ((make_front_study(), True), (make_study(), False)):
        write_atomically(tmp_path / "r" / "study.json", made.model_dump_json())
        studies, _ = find_studies([tmp_path / "r"])
        page = write_report([], [], tmp_path / made.name, studies=studies).read_text(encoding="utf-8")
        assert ("Accuracy and cost, CNN-JEPA" in page) == there
        assert (tmp_path / made.name / "figures" / f"study-{made.name}-cnn_jepa-front-column.svg").exists() == there
