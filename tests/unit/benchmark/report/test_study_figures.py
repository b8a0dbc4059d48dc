from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from studies import DEPTH, STRATEGY, make_front_study, make_run, make_study, study_of

from benchmark.analysis.fronts import front_trials
from benchmark.analysis.studies import effects
from benchmark.files.disk import write_atomically
from benchmark.records.study import EntryStudy, ParameterRange, TrialOutcome, find_studies
from benchmark.report.page import write_report
from benchmark.report.study_figures import (
    effect_plots,
    front_sentence,
    heat_map,
    importances,
    level_places,
    pairs_of,
    trial_curves,
    trial_front,
)

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def _panels(figure: Figure | None) -> list[Any]:
    assert figure is not None
    return [axes for axes in figure.axes if axes.axison]


def test_effects_show_every_run_and_an_interval_per_value() -> None:
    study = make_study().studies[0]
    strategy, depth = _panels(effect_plots(effects(study), study))
    points = [len(collection.get_offsets()) for collection in depth.collections if len(collection.get_offsets()) > 1]
    assert points[:4] == [6, 6, 6, 6]  # two strategies x three seeds
    assert [label.get_text() for label in depth.get_xticklabels()] == ["1", "2", "3", "4"]
    assert [label.get_text() for label in strategy.get_xticklabels()] == ["mixed", "random"]
    low, high = depth.get_ylim()
    assert low < 44.0 and high > 52.0 and strategy.get_ylim() == (low, high)


def test_numbers_are_at_their_values_so_that_a_slope_is_one() -> None:
    study = make_study().studies[0]
    (depth,) = [effect for effect in effects(study) if effect.name == DEPTH]
    levels = [replace(level, value=value) for level, value in zip(depth.levels, (1, 2, 3, 6), strict=True)]
    depth = replace(depth, levels=levels)
    assert level_places(depth, log=False) == ([1.0, 2.0, 3.0, 6.0], 1.0)
    assert level_places(depth, log=True)[0] == pytest.approx([0.0, 0.30103, 0.47712, 0.77815], abs=1e-5)
    (strategy,) = [effect for effect in effects(study) if effect.name == STRATEGY]
    assert level_places(strategy, log=False) == ([0.0, 1.0], 1.0)  # words
    (panel,) = _panels(effect_plots([depth], study))
    assert list(panel.get_xticks()) == [1.0, 2.0, 3.0, 6.0]


def test_intervals_over_three_seeds_are_shown_whole() -> None:
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


@pytest.mark.slow
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


def test_differences_too_small_to_be_detected_are_shaded() -> None:
    scores: dict[tuple[object, ...], list[float]] = {(1,): [40.0, 41.0, 42.0], (2,): [41.0, 43.0, 45.0]}
    for reference, bars in (({"depth": "2"}, 1), ({}, 0)):
        study = study_of(scores, reference=reference)
        (effect,) = effects(study)
        (panel,) = _panels(effect_plots([effect], study))
        assert len(panel.patches) == bars
        if bars:  # at the other value's place, around the mean of the experiment's own
            box, size = panel.patches[0].get_bbox(), effect.pairs[0].detectable or 0.0
            assert (box.x0, box.x1) == (0.75, 1.25)
            assert (box.y0, box.y1) == (pytest.approx(43.0 - size), pytest.approx(43.0 + size))
