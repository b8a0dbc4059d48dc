"""Sections of a report about sweeps."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmark.records import find_records, write_atomically
from benchmark.report.effects import effect_plots, heat_map, importances, pairs_of, trial_curves
from benchmark.report.page import write_report
from benchmark.study_records import (
    EntryStudy,
    ParameterRange,
    PublishedScore,
    RunOutcome,
    StudyRecord,
    TrialOutcome,
    find_studies,
    read_study,
)

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

DEPTH, STRATEGY = "cnn_jepa.predictor_depth", "cnn_jepa.masking.strategy"


def _run(seed: int, value: float, status: Any = "completed") -> RunOutcome:
    scored = status == "completed"
    return RunOutcome(
        seed=seed, key=f"{value}-{seed}", status=status, linear_top1=value if scored else None,
        knn20=value - 3 if scored else None, device_hours=0.5, total_hours=0.6, flags=["resumed"] if seed else [],
        record=f"e/seed-{seed}-ab/record.json", curve=[(0.5, value - 5, value - 8), (1.0, value, value - 3)],
    )  # fmt: skip


def make_study(seeds: int = 3, **changes: Any) -> StudyRecord:
    """Three strategies with four depths; depth 1 is worse, strategies are alike; one trial was given up."""
    trials = []
    for number, (strategy, depth) in enumerate((s, d) for s in ("mixed", "random") for d in (1, 2, 3, 4)):
        base = 44.0 if depth == 1 else 50.0
        runs = [_run(seed, base + seed + 0.1 * ((number * 7 + seed * 3) % 5)) for seed in range(seeds)]
        value = sum(run.linear_top1 or 0.0 for run in runs) / seeds
        trials.append(
            TrialOutcome(
                number=number, point=number, state="complete", entry=f"e{number}", value=value, runs=runs,
                parameters={STRATEGY: strategy, DEPTH: depth},
            )
        )  # fmt: skip
    given_up = TrialOutcome(
        number=8, point=8, state="pruned", entry="e8", value=None, parameters={STRATEGY: "mixed", DEPTH: 9},
        message="seed 0: pruned (given up at 40% of its budget)", runs=[_run(0, 30.0, "pruned")],
    )  # fmt: skip
    study = EntryStudy(
        entry="cnn_jepa",
        storage_name="depth.cnn_jepa",
        parameters={
            STRATEGY: ParameterRange(values=["mixed", "random"]),
            DEPTH: ParameterRange(values=[1, 2, 3, 4]),
        },
        trials=[*trials, given_up],
        importances={STRATEGY: 0.2, DEPTH: 0.8},
    )
    return StudyRecord(
        **{
            "name": "depth", "description": "layers of the predictor", "experiment": "cpu", "dataset": "cifar10",
            "budget": "epochs=10", "sampler": "grid", "pruner": "median", "seeds": list(range(seeds)),
            "trials_wanted": 9, "studies": [study],
            "published": [PublishedScore(parameter=DEPTH, value=2, linear_top1=73.22, knn=59.22, source="their book"),
                          PublishedScore(parameter=DEPTH, value=6, linear_top1=69.24, source="their book")],
            **changes,
        }
    )  # fmt: skip


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
            runs=[_run(seed, value) for seed, value in enumerate(values)],
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
            number=i, point=i, state="complete", entry="e", value=40.0 + i, runs=[_run(0, 40.0 + i)],
            parameters={"byol.optimizer.lr": 0.0001 * 2**i},
        )
        for i in range(6)
    ]  # fmt: skip
    study = EntryStudy(
        entry="byol", storage_name="x", trials=trials,
        parameters={"byol.optimizer.lr": ParameterRange(low=0.0001, high=0.01, log=True)},
    )  # fmt: skip
    (panel,) = _panels(effect_plots(effects(study), study))
    assert panel.get_xscale() == "log" and panel.get_title(loc="left") == "optimizer.lr"
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
        "from benchmark.cli import app\ntry: app()\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'optuna', 'sqlalchemy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
