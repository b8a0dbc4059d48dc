from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from studies import make_front_study, make_study

from benchmark.analysis.fronts import front_trials
from benchmark.files import write_atomically
from benchmark.records.study import find_studies
from benchmark.report.front_figure import front_sentence, trial_front
from benchmark.report.page import write_report

if TYPE_CHECKING:
    from pathlib import Path


def test_a_study_of_accuracy_against_cost_shows_its_front(tmp_path: Path) -> None:
    (study,) = make_front_study().studies
    assert [trial.point for trial in front_trials(study)] == [0, 1, 3]
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
