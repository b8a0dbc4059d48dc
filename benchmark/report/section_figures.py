"""The figures of a section: cost and accuracy, predictions, the runs of a machine, what methods keep and see."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparability import ladder_key
from benchmark.analysis.comparison import Comparison, Row, valid_rows
from benchmark.analysis.kept import kept
from benchmark.analysis.probes import run_of
from benchmark.analysis.published import on_published_axes
from benchmark.records.keys import EXTERNAL
from benchmark.report import (
    bars,
    cost_figure,
    curves,
    dense_pictures,
    kept_figure,
    method_views,
    prediction_figure,
    style,
)
from benchmark.report.bars import measured_steps, step_parts, time_shares
from benchmark.report.canvas import Caption, Picture, picture
from benchmark.report.cost_figure import cost_vs_accuracy
from benchmark.report.curves import learning_curves
from benchmark.report.method_views import seen
from benchmark.report.published_figure import caption as published_caption
from benchmark.report.summary import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from benchmark.analysis.ladder_curves import Prediction
    from benchmark.analysis.probes import Probes
    from benchmark.records.schema import Record
    from benchmark.report.run_files import RunFiles

Found = tuple["Path", "Record"]


def main_pictures(records: Sequence[Record], rungs: Sequence[Comparison], out: Path, suffix: str) -> list[Picture]:
    """The main figure of some runs of a ladder; empty if none was measured."""
    own = {id(row.first): row for rung in rungs for row in rung.rows}
    rows = [own[id(record)] for record in records if id(record) in own]
    if not any(row.measured and row.first.method != EXTERNAL for row in rows):
        return []  # nobody knows what encoders trained elsewhere cost
    text = cost_figure.caption(rows)
    if all(map(on_published_axes, records)):
        text = Caption(
            text.text, f"{text.details} Hollow markers: {published_caption().text} {published_caption().details}"
        )
    return drawn(
        lambda width: cost_vs_accuracy(rows, width=width),
        out,
        f"cost_vs_accuracy{suffix}",
        "Cost and accuracy",
        text,
    )


def predicted_pictures(
    rungs: Sequence[Comparison], longer: Sequence[Prediction], out: Path, suffix: str
) -> list[Picture]:
    """A figure for each prediction that is made from this ladder."""
    key = ladder_key(rungs[0].first)
    own = [prediction for prediction in longer if ladder_key(prediction.ladder.first) == key]
    pictures: list[Picture] = []
    for number, prediction in enumerate(own, start=1):
        pictures += drawn(
            partial(prediction_figure.prediction_figure, prediction),
            out,
            f"prediction{suffix}" + (f"-{number}" if len(own) > 1 else ""),
            f"Prediction for {prediction.target_text}",
            prediction_figure.caption(prediction),
        )
    return pictures


def machine_pictures(
    records: Sequence[Record], rows: Sequence[Row], files: RunFiles, out: Path, suffix: str, shown: str
) -> list[Picture]:
    """The figures of the runs of one machine under one budget, which `shown` adds to their titles."""
    pictures: list[Picture] = []
    for stem, title, draw, caption in machine_figures(records, rows, files):
        pictures += drawn(draw, out, f"{stem}{suffix}", title + shown, caption)
    return pictures


MachineFigure = tuple[str, str, "Callable[[float], Figure | None]", Caption]  # stem, title, drawn at a width, caption


def machine_figures(records: Sequence[Record], rows: Sequence[Row], files: RunFiles) -> list[MachineFigure]:
    """The figures of the runs of one machine under one budget; `rows` have their prices."""
    histories = histories_of(records, files)
    steps = measured_steps(rows)
    here = {id(record) for record in records}
    priced = any(
        row.price is not None and row.own_clock_ratio is not None and here & set(map(id, row.records)) for row in rows
    )
    by = " by `bench cost`" if priced else " in the runs"
    return [
        (
            "learning_curves",
            "Learning curves",
            lambda width: learning_curves(histories, width=width),
            curves.caption(records),
        ),
        ("time", "Where the total time went", lambda width: time_shares(records, width=width), bars.TIME_CAPTION),
        (
            "step",
            "Where the time of a step goes",
            lambda width: step_parts(records, files.parts, steps, width=width),
            bars.step_caption(records, files.parts, steps, by),
        ),
    ]


def histories_of(records: Sequence[Record], files: RunFiles) -> list[tuple[Record, list[dict[str, Any]]]]:
    """Each record with the lines of its history."""
    return [(record, files.histories.get(id(record), [])) for record in records]


def drawn(
    draw: Callable[[float], Figure | None], out: Path, stem: str, title: str, caption: Caption, *, images: bool = False
) -> list[Picture]:
    """A figure at the widths of a page and of a column; empty if there is nothing to draw."""
    wide = draw(style.FULL_WIDTH)
    if wide is None:
        return []
    return [picture(wide, draw(style.COLUMN_WIDTH), out, stem, title, caption, images=images)]


def kept_pictures(
    comparison: Comparison,
    probes: Probes,
    files: RunFiles,
    out: Path,
    suffix: str,
) -> list[Picture]:
    """What each entry keeps of an image, and what its probes predict; empty if no dense protocol was run."""
    measured = kept(comparison, probes)
    rows = [row for row in comparison.shown if row.invalid is None]
    pictures = drawn(
        lambda width: kept_figure.kept_figure(rows, measured, width=width),
        out,
        f"kept{suffix}",
        "What each method keeps",
        kept_figure.caption(measured),
    )
    protocols = {each.property.protocol: each.dataset for each in measured}
    for (protocol, dataset), predicted in dense_pictures.predicted(rows, probes, run_of, files).items():
        if protocols.get(protocol) == dataset:
            pictures += drawn(
                lambda width, predicted=predicted: method_views.tiled(predicted, width),  # type: ignore[misc]
                out,
                f"predictions-{protocol}{suffix}",
                f"Predictions of {protocol} on {dataset}",
                dense_pictures.CAPTION,
                images=True,
            )
    return pictures


def seen_pictures(comparison: Comparison, files: RunFiles, out: Path, suffix: str) -> list[Picture]:
    """A figure per entry: the views of its first run that saved them."""
    pictures: list[Picture] = []
    used: set[str] = set()
    firsts: dict[str, tuple[Row, Record]] = {}
    for row in valid_rows(comparison.records):
        record = next((record for record in row.records if id(record) in files.views), None)
        if record is not None:
            firsts.setdefault(row.first.entry, (row, record))
    for entry, (row, record) in sorted(firsts.items()):
        views = files.views[id(record)]
        stem = "seen-" + re.sub(r"[^A-Za-z0-9_-]+", "-", entry)
        while stem in used:
            stem += "-2"
        used.add(stem)
        known = method_views.caption(views)
        caption = Caption(f"Seed {record.seed}, run {record.key[:8]}. {known.text}", known.details)
        pictures += drawn(
            lambda width, views=views: seen(views, width=width),  # type: ignore[misc]
            out,
            f"{stem}{suffix}",
            name_of(row),
            caption,
            images=True,
        )
    return pictures
