"""The figure of what each method keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmark.analysis.comparison import comparisons
from benchmark.analysis.kept import PROPERTIES, Kept
from benchmark.analysis.statistics import summarise
from benchmark.report import style
from benchmark.report.kept_figure import caption, kept_figure


def _measured(comparison: Any) -> list[Kept]:
    values = {id(row): summarise([30.0 + index, 32.0]) for index, row in enumerate(comparison.rows[:2])}
    return [Kept(PROPERTIES[0], "shapes-depth", values, 7.5), Kept(PROPERTIES[3], "shapes-depth", values, None)]


def test_a_panel_per_property_with_entries_on_one_axis(make_record: Any) -> None:
    records = [make_record(entry, top1=top1) for entry, top1 in (("byol", 45.0), ("simclr", 40.0), ("vicreg", 30.0))]
    (comparison,) = comparisons(records)
    figure = kept_figure(comparison.shown, _measured(comparison))
    assert figure is not None
    axes = [each for each in figure.axes if each.get_visible()]
    assert [each.get_xlabel() for each in axes] == ["top-1 (%)", "mIoU (%)", "depth RMSE"]
    scored = [style.display(row.first.entry) for row in comparison.rows[:2]]
    assert sorted(label.get_text() for label in axes[0].get_yticklabels()) == sorted(scored)  # no row without a score
    miou = axes[1]
    assert len(miou.containers) == 2
    assert {float(container[0].get_xdata()[0]) for container in miou.containers} == {31.0, 31.5}
    assert [line.get_xdata()[0] for line in miou.lines if line.get_linestyle() == ":"] == [7.5]
    assert axes[2].get_title(loc="left") == "← better" and miou.get_title(loc="right") == "better →"


def test_nothing_measured_is_no_figure(make_record: Any) -> None:
    (comparison,) = comparisons([make_record()])
    assert kept_figure(comparison.shown, []) is None


def test_the_caption_names_the_data(make_record: Any) -> None:
    (comparison,) = comparisons([make_record("byol"), make_record("simclr")])
    assert "dense scores on shapes-depth, test split" in caption(_measured(comparison)).text


def test_datasets_are_on_the_axes_where_there_are_several(make_record: Any) -> None:
    (comparison,) = comparisons([make_record("byol"), make_record("simclr")])
    first, second = _measured(comparison)
    figure = kept_figure(comparison.shown, [first, replace(second, dataset="nyu")])
    assert figure is not None
    labels = [each.get_xlabel() for each in figure.axes if each.get_visible()]
    assert labels == ["top-1 (%)", "mIoU (%)\nshapes-depth", "depth RMSE\nnyu"]
