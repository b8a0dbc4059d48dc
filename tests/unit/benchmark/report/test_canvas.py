from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.analysis.comparison import rows_of
from benchmark.report.canvas import (
    cost_unit,
    draw_front,
    far_above,
    inline_svg,
    ladders,
    new_figure,
    plain_log_ticks,
    save,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("seconds", "devices", "unit"),
    [(119.0, 1, 1.0), (121.0, 1, 60.0), (7200.0, 1, 60.0), (8000.0, 1, 3600.0), (10.0, 2, 3600.0)],
)
def test_the_unit_of_cost_suits_the_longest_time(seconds: float, devices: int, unit: float) -> None:
    assert cost_unit([1.0, seconds], devices)[0] == unit
    words = {1.0: "Training time (seconds)", 60.0: "Training time (minutes)", 3600.0: "Training cost (device-hours)"}
    assert cost_unit([seconds], devices)[1] == words[unit]


def test_a_front_rises_in_steps_to_the_right_edge() -> None:
    _, (axes,) = new_figure(3, 2)
    axes.set_xlim(0.0, 10.0)
    corners = draw_front(axes, [(2.0, 40.0), (5.0, 50.0)], 30.0)
    assert corners == [(2.0, 30.0), (2.0, 40.0), (5.0, 40.0), (5.0, 50.0), (10.0, 50.0)]
    assert draw_front(axes, [], 30.0) == [] and len(axes.lines) == 1


def test_a_ceiling_is_far_above_if_it_would_squeeze_the_rest() -> None:
    assert far_above(60.0, [40.0, 45.0]) and not far_above(49.0, [40.0, 45.0])
    assert not far_above(47.9, [45.0]) and far_above(48.1, [45.0])  # three points at least
    assert not far_above(90.0, [])


def test_a_ladder_has_the_rungs_of_one_entry_by_rising_budget(make_record: Any) -> None:
    records = [make_record(entry, budget={"epochs": n}) for entry in ("byol", "simclr") for n in (10, 2)]
    found = [
        [(row.first.entry, row.first.config["budget"]["epochs"]) for row in rungs]
        for rungs in ladders(rows_of(records))
    ]
    assert found == [[("byol", 2), ("byol", 10)], [("simclr", 2), ("simclr", 10)]]


def test_equal_figures_are_equal_files_without_a_date(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        figure, (axes,) = new_figure(2, 1)
        axes.set_xscale("log")
        axes.set_xlim(0.5, 50)
        plain_log_ticks(axes)
        files.append(save(figure, tmp_path / name))
    assert [path.name for path in files[0]] == ["one.svg", "one.png"]
    for one, two in zip(*files, strict=True):
        assert one.read_bytes() == two.read_bytes()
    text = files[0][0].read_text(encoding="utf-8")
    assert "<dc:date>" not in text and ">0.5</text>" in text and ">50</text>" in text


def test_inlined_svg_carries_its_files_name_in_ids_and_their_uses(tmp_path: Path) -> None:
    path = tmp_path / "a b.svg"
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns:xlink="http://x" width="10pt" height="5pt" viewBox="0 0 10 5">'
        '<metadata>m</metadata><path id="p"/><use xlink:href="#p" clip-path="url(#c)"/></svg>',
        encoding="utf-8",
    )
    assert inline_svg(path, 'A "b"') == (
        '<svg viewBox="0 0 10 5" role="img" aria-label="A &quot;b&quot;">'
        '<path id="a-b-p"/><use xlink:href="#a-b-p" clip-path="url(#a-b-c)"/></svg>'
    )
