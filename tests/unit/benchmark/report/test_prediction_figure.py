from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.analysis.calibration import NO_PRICES
from benchmark.analysis.ladder_curves import Prediction, predictions
from benchmark.report import style
from benchmark.report.canvas import save
from benchmark.report.prediction_figure import caption, prediction_figure

if TYPE_CHECKING:
    from pathlib import Path

VALUES = {"byol": (30.0, 40.0, 45.0), "simclr": (38.0, 42.0, 44.0), "supervised": (60.0, 75.0, 82.0)}


@pytest.fixture
def make(make_record: Any) -> Any:
    def prediction(entries: tuple[str, ...], seeds: int = 2, further: float | None = None) -> Prediction:
        records = []
        for entry in entries:
            values = VALUES[entry] if further is None else (*VALUES[entry], further)
            for epochs, top1 in zip((1, 4, 16, 32), values, strict=False):
                budget = {"epochs": epochs}
                records += [make_record(entry, seed, top1=top1 + 0.5 * seed, budget=budget) for seed in range(seeds)]
        (found,) = predictions(records, NO_PRICES, "epochs", 64.0)
        return found

    return prediction


@pytest.mark.slow
@pytest.mark.parametrize("width", [style.FULL_WIDTH, style.COLUMN_WIDTH])
def test_measured_lines_are_continued_dashed_in_a_band(make: Any, width: float, tmp_path: Path) -> None:
    prediction = make(("byol", "simclr"))
    figure = prediction_figure(prediction, width=width)
    (axes,) = figure.axes
    byol = [line for line in axes.lines if line.get_color() == style.colour("byol")]
    solid = next(line for line in byol if line.get_linestyle() == "-" and len(line.get_xdata()) == 3)
    assert list(zip(solid.get_xdata(), solid.get_ydata(), strict=True)) == [(1, 30.25), (4, 40.25), (16, 45.25)]
    dashed = next(line for line in byol if line.get_linestyle() == "--")
    assert (dashed.get_xdata()[0], dashed.get_ydata()[0]) == (16, 45.25)  # from the last measured mean
    top1 = next(entry.top1 for entry in prediction.entries if entry.entry == "byol")
    assert dashed.get_xdata()[-1] == pytest.approx(64) and dashed.get_ydata()[-1] == pytest.approx(top1.median, abs=0.1)
    svg, png = save(figure, tmp_path / "prediction")
    text = svg.read_text(encoding="utf-8")
    assert png.stat().st_size > 10_000
    for words in ("prediction", "90% interval", "BYOL", "SimCLR", "Budget (epochs)"):
        assert words in text


@pytest.mark.slow
def test_a_supervised_entry_far_above_is_named_with_its_prediction(make: Any) -> None:
    prediction = make(("byol", "simclr", "supervised"), seeds=1)
    (axes,) = prediction_figure(prediction).axes
    assert axes.get_ylim()[1] < 60
    (line,) = [text.get_text() for text in axes.texts if "off scale" in text.get_text()]
    assert line.startswith("\u25b2 supervised: 82.0, predicted 8")


@pytest.mark.slow
def test_the_caption_says_whether_the_records_could_check_it(make: Any) -> None:
    assert (
        "These records cannot check the prediction: that needs an entry with at least four rungs."
        in caption(make(("byol",))).details
    )
    wrong = caption(make(("byol",), further=30.0))
    assert "90% intervals held 0 of 1 measured accuracies (0%), below the nominal 90%" in wrong.details
    assert "a prediction for 64 epochs" in wrong.text
