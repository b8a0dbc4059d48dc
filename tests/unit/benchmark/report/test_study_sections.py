"""Sections of a report about sweeps."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from studies import DEPTH, make_run, make_study

from benchmark.files.disk import write_atomically
from benchmark.records.folder import find_records
from benchmark.records.study import EntryStudy, ParameterRange, TrialOutcome, find_studies
from benchmark.report.page import write_report
from benchmark.report.study_figures import trial_curves

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_report_of_a_study_alone(tmp_path: Path) -> None:
    path = tmp_path / "results" / "depth" / "study.json"
    write_atomically(path, make_study(dataset="imagenet100").model_dump_json())
    studies, problems = find_studies([tmp_path / "results"])
    assert problems == [] and studies[0][1] == make_study(dataset="imagenet100")
    page = write_report([], problems, tmp_path / "report", studies=studies).read_text(encoding="utf-8")
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    plain = " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", page, flags=re.DOTALL).split())
    for text in (plain, " ".join(markdown.replace("\\", "").split())):
        assert "depth: a study on imagenet100, epochs=10" in text
        assert "8 of 9 trials are complete, each the mean of 3 seeds, sampler grid." in text
        assert "Not complete: 1 pruned." in text
        assert "The sweep took 12.50 device-hours of training, 15.00 with set-up and probes." in text
        assert "0.50 went into pruned runs" in text
        assert "marked unsafe (resumed)" in text
        assert "cnn_jepa.predictor_depth: " in text and " against 1: +6." in text
        assert "Comparisons, CNN-JEPA" in text and "not significant: no difference larger than " in text
        assert "Not significantly different: " in text and "Smallest detectable difference with 3 seeds: " in text
        assert "given up at 40% of its budget" in text
        assert "their book" in text and "73.2" in text and "69.2" in text  # also of a value that we did not try
        assert "No row is ranked" not in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    names = {file.name for file in (tmp_path / "report" / "figures").glob("*.svg")}
    assert names == {f"study-depth-cnn_jepa-{kind}.svg" for kind in ("effects", "pair-1", "importances", "curves")}
    rows = list(csv.DictReader((tmp_path / "report" / "trials-depth.csv").open()))
    assert len(rows) == 25 and rows[0][DEPTH] == "1"
    assert {"complete", "pruned"} == {row["state"] for row in rows}


@pytest.mark.slow
def test_a_study_stands_beside_results(tmp_path: Path, make_record: Any, store: Any) -> None:
    store(tmp_path / "r", make_record("byol"))
    write_atomically(tmp_path / "r" / "depth" / "study.json", make_study(seeds=1).model_dump_json())
    found, _ = find_records([tmp_path / "r"])
    studies, _ = find_studies([tmp_path / "r"])
    page = write_report(found, [], tmp_path / "out", studies=studies).read_text(encoding="utf-8")
    assert "their book" not in page  # published on other images than these
    assert 'id="s1"' in page and 'id="study1"' in page
    assert "Fewer than three seeds: preliminary." in page
    assert len(re.findall(r'\sid="([^"]+)"', page)) == len(set(re.findall(r'\sid="([^"]+)"', page)))


@pytest.mark.slow
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


@pytest.mark.slow
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
    sentence = "No learning curves: each trial was evaluated only once."
    for one, said in ((alone, True), (study, False)):
        write_atomically(tmp_path / "r" / "study.json", make_study(studies=[one]).model_dump_json())
        studies, _ = find_studies([tmp_path / "r"])
        page = write_report([], [], tmp_path / "out", studies=studies).read_text(encoding="utf-8")
        assert (sentence in page) == said
        assert (sentence in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")) == said
