from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparison import rows_of
from benchmark.report.canvas import save
from benchmark.report.cost_figure import cost_vs_accuracy
from benchmark.report.published_figure import belongs, counted, published_figure, published_table

if TYPE_CHECKING:
    from pathlib import Path


def test_published_runs_have_a_figure_and_a_table_of_their_own(make_record: Any, tmp_path: Path) -> None:
    theirs = {"dataset": {"name": "imagenet100"}, "config": {"image_size": 224}}
    assert belongs([make_record("cnn_jepa", **theirs), make_record("byol", **theirs)])
    assert not belongs([make_record("byol", **theirs), make_record("simclr", **theirs)])
    assert not belongs([make_record("cnn_jepa", **theirs)]) and not belongs([])
    assert not belongs([make_record("cnn_jepa"), make_record("byol")])  # other images
    table = published_table()
    assert len(table.rows) == 12 and {row[-1].text for row in table.rows} == {"repository", "explanatory text"}
    svg, _ = save(published_figure(), tmp_path / "published")
    text = svg.read_text(encoding="utf-8")
    assert "published, not ours" in text and "I-JEPA (ViT-B/14)" in text and ">BYOL<" in text


def test_published_points_stand_behind_ours_on_their_own_axes_alone(make_record: Any) -> None:
    def drawn(**options: Any) -> Any:
        figure = cost_vs_accuracy(rows_of([make_record("byol", top1=70.0, seconds=50 * 3600.0, **options)]))
        return figure.axes[0]

    there = drawn(dataset={"name": "imagenet100"}, config={"image_size": 224})
    hollow = [
        tuple(c.get_offsets()[0])
        for c in there.collections
        if hasattr(c, "get_sizes") and not len(c.get_facecolor()) and len(c.get_offsets())
    ]
    assert sorted(hollow) == sorted((run.device_hours, run.linear_top1) for run in counted())
    assert "published, not ours" in there.get_title(loc="right")
    low, high = there.get_ylim()
    assert low < 42.30 and high > 79.02
    here = drawn()
    assert "published" not in here.get_title(loc="right") and here.get_ylim()[0] > 60
