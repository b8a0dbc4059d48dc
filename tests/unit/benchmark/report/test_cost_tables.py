from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.analysis.comparability import hardware_key
from benchmark.analysis.comparison import comparisons
from benchmark.records.schema import EnergyRecord
from benchmark.report.canvas import save
from benchmark.report.cost_figure import cost_vs_accuracy
from benchmark.report.cost_tables import cost_table, relative_table
from benchmark.report.published_figure import belongs, counted, published_figure, published_table

if TYPE_CHECKING:
    from pathlib import Path


def rows(table: Any) -> dict[str, dict[str, str]]:
    return {row[0].text: dict(zip(table.heads, (cell.text for cell in row), strict=True)) for row in table.rows}


def test_relative_times_stand_beside_the_published_ones(make_record: Any) -> None:
    records = [
        make_record("cnn_jepa", seconds=100.0, config={"method": {"encoder": "sparse"}}),
        make_record("cnn_jepa_dense", method="cnn_jepa", seconds=125.0, config={"method": {"encoder": "masked_dense"}}),
        make_record("byol", seconds=150.0, flags=["busy machine"]),
        make_record("ijepa", backbone="vit_tiny", seconds=75.0),
        make_record("random_init"),
    ]
    (comparison,) = comparisons(records)
    table = relative_table(comparison, [hardware_key(records[0])])
    assert table is not None
    found = rows(table)
    assert list(found) == ["I-JEPA", "CNN-JEPA", "CNN-JEPA (dense)", "BYOL"]
    assert found["BYOL"] == {
        "Entry": "BYOL",
        "Training": "2.5 min",
        "÷ sparse": "1.50",
        "÷ masked-dense": "1.20",
        "Total": "2.8 min",
        "total ÷ sparse": "1.43",
        "total ÷ masked-dense": "1.18",
        "Published": "1.54",
        "Published elsewhere": "1.35",
        "Times": "unsafe",
    }
    assert (
        found["I-JEPA"]["Published"]
        == "0.72 (ViT-S/14, 299 epochs against 200), 1.00 (ViT-B/14, 299 epochs against 200)"
    )
    assert found["CNN-JEPA"]["Published"] == "" and found["CNN-JEPA (dense)"]["Published"] == "1.00"


def test_costs_stand_by_rising_time_and_empty_columns_stay_away(make_record: Any) -> None:
    slow, fast = make_record("byol", seconds=100.0), make_record("simclr", seconds=50.0)
    (comparison,) = comparisons([slow, fast, make_record("random_init")])
    table = cost_table(comparison, [hardware_key(slow)])
    assert table is not None
    assert list(rows(table)) == ["SimCLR", "BYOL"] and "Power" not in table.heads and "Machine" not in table.heads
    energy = EnergyRecord(joules=5000.0, seconds=50.0, scope="board")
    metered = slow.model_copy(update={"ledger": slow.ledger.model_copy(update={"energy": energy})})
    (comparison,) = comparisons([metered])
    table = cost_table(comparison, [hardware_key(slow)])
    assert table is not None and rows(table)["BYOL"]["Power"] == "100 W"
    (free,) = comparisons([make_record("random_init")])
    assert cost_table(free, []) is None


def test_published_runs_have_a_figure_and_a_table_of_their_own(make_record: Any, tmp_path: Path) -> None:
    assert belongs([make_record("cnn_jepa"), make_record("byol")])
    assert not belongs([make_record("byol"), make_record("simclr")]) and not belongs([make_record("cnn_jepa")])
    table = published_table()
    assert len(table.rows) == 12 and {row[-1].text for row in table.rows} == {"repository", "explanatory text"}
    svg, _ = save(published_figure(), tmp_path / "published")
    text = svg.read_text(encoding="utf-8")
    assert "published, not ours" in text and "I-JEPA (ViT-B/14)" in text and ">BYOL<" in text


def test_published_points_stand_behind_ours_on_their_own_axes_alone(make_record: Any) -> None:
    def drawn(**options: Any) -> Any:
        figure = cost_vs_accuracy([make_record("byol", top1=70.0, seconds=50 * 3600.0, **options)])
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
