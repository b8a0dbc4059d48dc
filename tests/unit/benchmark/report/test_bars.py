from __future__ import annotations

import itertools
from typing import Any

import pytest
from made_costs import CPU, GPU_A, make_cost, make_priced

from benchmark.analysis.calibration import Prices
from benchmark.analysis.comparison import rows_of
from benchmark.report.bars import (
    _PARTS,
    _PHASES,
    measured_steps,
    phase_seconds,
    step_caption,
    step_parts,
    time_shares,
)
from benchmark.training.profile import PARTS as PARTS_OF_A_STEP


def test_phases_sum_to_the_total_and_wait_is_taken_out_of_training(make_record: Any) -> None:
    seconds = phase_seconds(make_record(seconds=100.0))
    assert seconds == pytest.approx({"training": 98.0, "waiting": 2.0, "evaluation": 12.0, "rest": 3.7})
    assert phase_seconds(make_record(status="failed", measured=False)) is None
    assert time_shares([make_record(status="failed", measured=False)]) is None
    figure = time_shares([make_record("byol", seconds=50.0), make_record("simclr", seconds=100.0)])
    assert figure is not None
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["BYOL", "SimCLR"]


def test_unsafe_times_are_in_no_bar_where_there_are_safe_ones(make_record: Any) -> None:
    runs = [make_record("byol", seed, seconds=100.0) for seed in range(2)]
    runs.append(make_record("byol", 2, seconds=1000.0, flags=["busy machine"]))
    figure = time_shares(runs)
    assert figure is not None
    trained = sum(bars[0].get_width() for bars in figure.axes[0].containers[:2])
    assert trained == pytest.approx(100.0)


PARTS = {
    "data": 0.001,
    "views": 0.01,
    "forward": 0.05,
    "backward": 0.06,
    "optimizer": 0.002,
    "ema": 0.0,
    "other": 0.001,
}


def test_every_part_of_a_breakdown_has_a_name() -> None:
    assert {*PARTS_OF_A_STEP, "forward"} == set(_PARTS)


def test_step_bars_are_means_in_milliseconds_and_strange_parts_count_as_other(make_record: Any) -> None:
    records = [make_record("byol", 0), make_record("byol", 1), make_record("simclr"), make_record("random_init")]
    parts = {
        id(records[0]): PARTS,
        id(records[1]): {**PARTS, "forward": 0.07},
        id(records[2]): {"forward": 0.01, "gossip": 0.003},
    }
    figure = step_parts(records, parts, {})
    assert figure is not None
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["SimCLR", "BYOL"]
    widths = {c.get_label().split(":")[0]: [round(b.get_width(), 6) for b in c] for c in axes.containers}
    assert widths["forward"] == [10.0, 60.0] and widths["other"] == [3.0, 1.0]
    assert "moving average" not in widths  # nobody spent any time on it
    newer = {**PARTS, "forward": 0.0, "encoder": 0.02, "target_encoder": 0.01, "head": 0.01, "loss": 0.03}
    mixed = step_parts(records, {**parts, id(records[1]): newer}, {})
    assert mixed is not None
    assert [c.get_label().split(":")[0] for c in mixed.axes[0].containers if "encoder" in c.get_label()] == ["forward"]
    assert step_parts(records, {}, {}) is None


def test_parts_that_do_not_add_up_to_the_measured_step_are_flagged(make_record: Any) -> None:
    records = [make_record("byol"), make_record("simclr")]
    parts = {id(record): {"encoder": 0.1, "backward": 0.159} for record in records}
    measured = {id(records[0]): 0.082, id(records[1]): 0.25}
    figure = step_parts(records, parts, measured)
    assert figure is not None
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["BYOL", "SimCLR"]
    assert [text.get_text() for text in axes.texts] == ["parts 259, step 82"]
    assert [[bar.get_alpha() for bar in container] for container in axes.containers] == [[0.35, None]] * 2
    assert [round(float(line.get_xdata()[0])) for line in axes.lines] == [82, 250]
    assert "Pale bars miss it by more than 20%" in step_caption(records, parts, measured, "").text
    fitting = {id(record): 0.25 for record in records}
    assert "Pale" not in step_caption(records, parts, fitting, "").text


def test_a_step_is_measured_by_its_step_cost_or_by_the_runs_own_clock() -> None:
    runs = [make_priced("byol", seconds=70.0), make_priced("simclr", seconds=140.0)]  # 700 steps each
    assert measured_steps(rows_of(runs)) == pytest.approx({id(runs[0]): 0.1, id(runs[1]): 0.2})
    cost = make_cost(runs, {"byol": 0.05, "simclr": 0.08}, CPU)
    assert measured_steps(rows_of(runs, Prices((cost,)))) == pytest.approx({id(runs[0]): 0.05, id(runs[1]): 0.08})
    elsewhere = make_cost(runs, {"byol": 0.05, "simclr": 0.08}, GPU_A)
    assert measured_steps(rows_of(runs, Prices((elsewhere,)))) == pytest.approx({id(runs[0]): 0.1, id(runs[1]): 0.2})


def lightness(colour: str) -> float:
    """L* of CIELAB, 0 to 100: what is left of a colour in grey."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return float(116 * y ** (1 / 3) - 16)


def test_neighbours_in_the_bars_are_told_apart_in_grey() -> None:
    always = ["encoder", "loss", "backward", "optimizer"]
    steps = [["data", "views", "forward", "backward", "optimizer", "ema", "other"]]
    for optional in itertools.product([True, False], repeat=5):
        extra = dict(zip(("data", "views", "target_encoder", "head", "ema"), optional, strict=True))
        steps.append([name for name in _PARTS if name in always or extra.get(name) or name == "other"])
    for names, looks in (*((step, _PARTS) for step in steps), (list(_PHASES), _PHASES)):
        for one, other in itertools.pairwise(names):
            assert abs(lightness(looks[one][1]) - lightness(looks[other][1])) > 12, (one, other)


@pytest.mark.parametrize("width", [3.3, 6.9])
def test_the_bars_legend_stands_above_them_and_inside_the_figure(make_record: Any, width: float) -> None:
    names = ("data", "views", "encoder", "target_encoder", "head", "loss", "backward", "optimizer", "ema", "other")
    records = [make_record(entry) for entry in ("byol", "cnn_jepa", "simclr", "ijepa", "vicreg", "supervised")]
    parts = {id(record): {name: 0.01 * (i + 1) for i, name in enumerate(names)} for record in records}
    figure = step_parts(records, parts, {}, width=width)
    assert figure is not None
    (axes,), (legend,) = figure.axes, figure.legends
    box, page = legend.get_window_extent(), figure.bbox
    assert box.x0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1 + 1
    assert box.y0 >= axes.get_window_extent().y1 - 1
    texts = [text.get_window_extent() for text in legend.get_texts()]
    assert len(texts) == 10
    for one, other in itertools.combinations(texts, 2):
        assert one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 + 1 or other.y1 <= one.y0 + 1
