from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made_costs import CPU, GPU_A, GPU_B, make_cost, make_priced

from benchmark.analysis.calibration import NO_PRICES, Prices
from benchmark.analysis.comparison import rows_of
from benchmark.report import style
from benchmark.report.canvas import cost_unit, save
from benchmark.report.cost_figure import caption, cost_vs_accuracy
from benchmark.report.labels import Box

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES = [
    ("cnn_jepa", "resnet18", 44.1, 95.0),
    ("byol", "resnet18", 44.2, 100.0),
    ("simclr", "resnet18", 44.5, 98.0),
    ("vicreg", "resnet18", 44.0, 96.0),
    ("ijepa", "vit_tiny", 43.8, 101.0),
    ("simclr_vit", "vit_tiny", 44.4, 102.0),
    ("supervised", "resnet18", 71.0, 90.0),
    ("random_init", "resnet18", 32.8, 0.0),
]


def compare(make: Any, seeds: int = 1, budgets: tuple[int, ...] = (10,)) -> list[Any]:
    return [
        make(
            entry,
            seed,
            method="simclr" if entry == "simclr_vit" else entry,
            backbone=backbone,
            top1=top1 + 0.3 * seed - (10 - epochs) / 5,
            seconds=seconds * epochs / 10 + seed,
            budget={"epochs": epochs},
        )
        for epochs in budgets
        for entry, backbone, top1, seconds in ENTRIES
        for seed in range(seeds)
    ]


def draw(records: list[Any], prices: Prices = NO_PRICES, **options: Any) -> Any:
    return cost_vs_accuracy(rows_of(records, prices), **options)


def text_boxes(figure: Any) -> dict[str, Box]:
    axes = figure.axes[0]
    extents = {text.get_text(): text.get_window_extent() for text in axes.texts}
    return {text: Box(e.x0, e.y0, e.x1, e.y1) for text, e in extents.items()}


@pytest.mark.parametrize("width", [style.FULL_WIDTH, style.COLUMN_WIDTH])
def test_labels_of_clustered_points_cover_neither_each_other_nor_a_mean(make_record: Any, width: float) -> None:
    records = compare(make_record)
    figure = draw(records, width=width)
    boxes = text_boxes(figure)
    assert len(boxes) == len(ENTRIES) + 2 and {"CNN front", "ViT front"} <= set(boxes)
    names = sorted(boxes)
    touching = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if boxes[a].overlap(boxes[b]) > 1.0]
    assert touching == []
    axes = figure.axes[0]
    for _, _, top1, seconds in ENTRIES[:6]:
        x, y = axes.transData.transform((seconds, top1))
        dot = Box(x - 2, y - 2, x + 2, y + 2)
        assert [name for name in names if boxes[name].overlap(dot) > 0] == []


def test_a_ceiling_far_above_is_named_with_its_value_and_does_not_press_the_rest(make_record: Any) -> None:
    figure = draw(compare(make_record))
    assert figure.axes[0].get_ylim()[1] < 60
    assert "supervised 71.0% (off scale)" in text_boxes(figure)
    near = [make_record("supervised", top1=46.0), make_record("byol", top1=44.0), make_record("random_init", top1=33.0)]
    assert set(text_boxes(draw(near))) == {"supervised", "BYOL", "random init", "Pareto front"}


def test_random_init_is_a_line_at_its_accuracy_and_pays_nothing(make_record: Any) -> None:
    axes = draw([make_record("random_init", top1=33.0), make_record("byol")]).axes[0]
    levels = [line.get_ydata() for line in axes.lines if line.is_dashed()]
    assert [list(level) for level in levels] == [[33.0, 33.0]]
    assert (
        sum(len(collection.get_offsets()) for collection in axes.collections if hasattr(collection, "get_sizes")) == 1
    )


@pytest.mark.slow
def test_axis_is_logarithmic_only_over_a_decade(make_record: Any) -> None:
    assert draw(compare(make_record)).axes[0].get_xscale() == "linear"
    assert draw(compare(make_record, budgets=(1, 10))).axes[0].get_xscale() == "log"
    assert cost_unit([119.0]) == (1.0, "Training time (seconds)")
    assert cost_unit([121.0])[0] == 60.0
    assert cost_unit([8000.0]) == (3600.0, "Training cost (device-hours)")
    assert cost_unit([10.0], devices=2)[0] == 3600.0


def test_rungs_of_a_ladder_are_joined_in_the_order_of_their_budgets(make_record: Any) -> None:
    records = [make_record(top1=30.0 + e, seconds=10.0 * e, budget={"epochs": e}) for e in (10, 2, 5)]
    axes = draw(records).axes[0]
    joined = [line for line in axes.lines if line.get_color() == style.COLOURS["byol"] and len(line.get_xdata()) == 3]
    assert [list(line.get_xdata()) for line in joined] == [[20.0, 50.0, 100.0]]


@pytest.mark.slow
def test_files_are_equal_for_equal_records_and_keep_text_as_text(make_record: Any, tmp_path: Path) -> None:
    records = compare(make_record, seeds=2)
    records.append(make_record("<b>$x_1$ & y", method="byol", top1=42.0, seconds=99.0))
    svg, png = save(draw(records), tmp_path / "one")
    again, again_png = save(draw(list(records)), tmp_path / "two")
    text = svg.read_text(encoding="utf-8")
    assert text == again.read_text(encoding="utf-8") and png.read_bytes() == again_png.read_bytes()
    assert "&lt;b&gt;$x_1$ &amp; y</text>" in text and "<b>" not in text
    assert "CNN-JEPA</text>" in text and "sans-serif" in text
    assert "dc:date" not in text
    assert png.read_bytes()[:4] == b"\x89PNG"


def test_a_collapsed_entry_says_so(make_record: Any) -> None:
    records = [make_record("byol", status="collapsed"), make_record("simclr", top1=50.0)]
    assert {"BYOL (collapsed)", "SimCLR"} <= set(text_boxes(draw(records)))


@pytest.mark.parametrize(
    ("width", "kind"),
    [(style.FULL_WIDTH, "wall_clock"), (style.COLUMN_WIDTH, "wall_clock"), (style.FULL_WIDTH, "calibrated_time")],
)
def test_same_data_and_same_cost_stand_beside_each_other_on_one_scale(
    make_record: Any, width: float, kind: str
) -> None:
    data = [
        make_record(entry, top1=top1, seconds=s) for entry, top1, s in (("byol", 40.0, 90.0), ("simclr", 45.0, 60.0))
    ]
    cost = [
        make_record(entry, top1=top1, seconds=300.0, budget={kind: 300.0})
        for entry, top1 in (("byol", 60.0), ("simclr", 55.0))
    ]
    assert len(draw(data, width=width).axes) == 1
    left, right = draw([*data, *cost], width=width).axes
    # On a line of its own: the key stands in the lower one, and may be as wide as the panel.
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("Same data\n", "Same cost\n")
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[0] < 40.0 and left.get_ylim()[1] > 60.0
    named = [{text.get_text() for text in axes.texts} for axes in (left, right)]
    assert named == [{"BYOL", "SimCLR", "Pareto front"}, {"BYOL", "SimCLR"}]


@pytest.mark.slow
def test_entries_of_one_cost_stand_side_by_side_without_a_front(make_record: Any) -> None:
    def timed(entry: str, top1: float, **options: Any) -> Any:
        options = {"seconds": 300.2, "budget": {"wall_clock": 300.0}, **options}
        return make_record(entry, top1=top1, **options)

    ours = [timed("byol", 41.0), timed("simclr", 45.0), timed("vicreg", 41.2)]
    floors = [timed("random_init", 33.0, seconds=0.0), timed("supervised", 80.0)]
    axes = draw([*ours, *floors]).axes[0]
    places = {tuple(marks.get_offsets()[0]) for marks in axes.collections if hasattr(marks, "get_sizes")}
    assert {(1.0, 45.0), (2.0, 41.2), (3.0, 41.0)} < places and len(places) == 4  # supervised is first, and off scale
    assert axes.get_xlabel() == "300 s of training each" and list(axes.get_xticks()) == []
    assert [list(line.get_ydata()) for line in axes.lines if line.is_dashed()] == [[33.0, 33.0]]
    assert set(text_boxes(draw([*ours, *floors]))) == {
        "BYOL", "SimCLR", "VICReg", "random init", "supervised 80.0% (off scale)",
    }  # fmt: skip
    # Several devices change what it cost, not what was given.
    several = [timed(e, 40.0, budget={"device_hours": 2}, environment={"devices": 4}) for e in ("byol", "simclr")]
    assert draw(several).axes[0].get_xlabel() == "2 device-hours each"
    # A ladder of times has an axis of time, and so has an entry by itself.
    twice = [timed("byol", t, seconds=s, budget={"wall_clock": s}) for t, s in ((40.0, 100.0), (45.0, 300.0))]
    for records, lines in ((twice, ", lines: 100 to 300 s of training"), (ours[:1], "")):
        assert draw(records).axes[0].get_xlabel() == f"Training time (minutes){lines}"


@pytest.mark.parametrize("entries", [[("byol", "failed")], [("random_init", "completed")], [("byol", "completed")]])
def test_few_or_no_points_still_make_a_figure(make_record: Any, entries: list[tuple[str, str]], tmp_path: Path) -> None:
    records = [make_record(entry, status=status, measured=status == "completed") for entry, status in entries]
    svg, _ = save(draw(records), tmp_path / "figure")
    assert "Training time" in svg.read_text(encoding="utf-8")


def means(figure: Any) -> set[tuple[float, float]]:
    marks = [marks for marks in figure.axes[0].collections if hasattr(marks, "get_sizes")]
    return {tuple(round(float(value), 6) for value in marks.get_offsets()[0]) for marks in marks}


def test_calibrated_costs_are_drawn_with_the_interval_of_their_measurement() -> None:
    runs = [make_priced("byol", top1=45.0, flags=["busy machine"]), make_priced("simclr", top1=40.0)]
    cost = make_cost(runs, {"byol": 0.05, "simclr": 0.1}, {**CPU, "cpu_model": "E" * 30}, spread=0.1)
    figure = draw(runs, Prices((cost,)))
    axes = figure.axes[0]
    assert means(figure) == {(35.0, 45.0), (70.0, 40.0)}  # 700 steps
    assert axes.get_xlabel() == "Calibrated time (seconds)\non cpu, 2 threads, AVX512 BF16, bfloat16, torch 2.14"
    assert "hollow" not in axes.get_title(loc="right")
    bars = [segment for bar in axes.containers for line in bar.lines[2] for segment in line.get_segments()]
    across = sorted(tuple(map(float, segment[:, 0])) for segment in bars if segment[0, 1] == segment[1, 1])
    assert across == [pytest.approx((31.5, 38.5)), pytest.approx((63.0, 77.0))]
    assert cost.key[:12] in caption(rows_of(runs, Prices((cost,)))).details
    assert caption(rows_of(runs)).text.startswith("Training time and accuracy")


def test_several_devices_are_counted_as_the_measurement_has_them() -> None:
    runs = [make_priced("byol", top1=45.0), make_priced("simclr", top1=40.0)]
    cost = make_cost(runs, {"byol": 36 / 7, "simclr": 72 / 7}, {**GPU_A, "devices": 2})
    figure = draw(runs, Prices((cost,)))
    assert means(figure) == {(2.0, 45.0), (4.0, 40.0)}
    assert figure.axes[0].get_xlabel().startswith("Calibrated cost (device-hours)\non 2 x Imaginary A1")


def test_where_the_budget_sets_the_cost_own_clocks_are_drawn() -> None:
    runs = [make_priced("byol", top1=t, seconds=s, budget={"wall_clock": s}) for t, s in ((40.0, 100.0), (45.0, 300.0))]
    figure = draw(runs, Prices((make_cost(runs, {"byol": 9.0}),)))
    assert means(figure) == {(round(100 / 60, 6), 40.0), (5.0, 45.0)}
    assert figure.axes[0].get_xlabel().startswith("Training time (minutes)")


def both(budget: dict[str, Any], seconds: float = 100.0, **options: Any) -> list[Any]:
    return [
        make_priced(entry, top1=top1, seconds=seconds, budget=budget, **options)
        for entry, top1 in (("byol", 45.0), ("simclr", 40.0))
    ]


def test_a_panel_never_mixes_calibrated_costs_and_own_clocks() -> None:
    runs = [*both({"wall_clock": 60}, 60.0), *both({"flops": 1e15}, 100.0)]
    priced = rows_of(runs, Prices((make_cost(runs, {"byol": 0.05, "simclr": 0.1}),)))  # 35 and 70 s
    figure = cost_vs_accuracy(priced)
    assert means(figure) == {(60.0, 45.0), (60.0, 40.0), (100.0, 45.0), (100.0, 40.0)}
    assert figure.axes[0].get_xlabel() == (
        "Training time (seconds),\nlines: 60 s of training to 1000000000000000 FLOPs"
    )
    assert "Calibrated" not in caption(priced).text + caption(priced).details


def test_a_panel_of_calibrated_costs_beside_one_of_own_clocks_is_named() -> None:
    runs = [*both({"epochs": 10}), *both({"wall_clock": 60}, 60.0), *both({"wall_clock": 90}, 90.0)]
    priced = rows_of(runs, Prices((make_cost(runs, {"byol": 0.05, "simclr": 0.1}),)))
    left, right = cost_vs_accuracy(priced).axes
    assert left.get_xlabel().startswith("Calibrated time (seconds)\non cpu, 2 threads")
    assert right.get_xlabel() == "Training time (seconds), lines: 60 to 90 s of training"
    assert (
        "A panel that names no hardware below its axis has the times of the runs' own clocks."
        in caption(priced).details
    )


def test_calibrated_budgets_are_drawn_at_their_price_whatever_machine_the_runs_were_made_on() -> None:
    there = {"device_model": "H200", "device": "cuda"}
    first = both({"epochs": 10})
    cost = make_cost(first, {"byol": 0.05, "simclr": 0.1}, {**GPU_A, "devices": 2})
    runs = [run for limit in (60, 120) for run in both({"calibrated_time": limit, "step_cost": cost.key}, 999.0)]
    runs[1::2] = [
        run.model_copy(update={"environment": run.environment.model_copy(update=there)}) for run in runs[1::2]
    ]
    figure = draw(runs, Prices((cost,)))
    hours = [round(2 * limit / 3600, 6) for limit in (60, 120)]
    assert means(figure) == {(hour, top1) for hour in hours for top1 in (45.0, 40.0)}
    assert figure.axes[0].get_xlabel().split("\n")[:3] == [
        "Calibrated cost (device-hours),",
        "lines: 60 to 120 s of calibrated time",
        f"by step cost {cost.key[:8]}",
    ]
    one = draw(runs[:2], Prices((cost,))).axes[0]
    assert one.get_xlabel().startswith(f"60 s of calibrated time by step cost {cost.key[:8]} each\non 2 x Imaginary A1")
    # By another record than the one that set their steps (700 here), they cost something else each.
    other = draw(runs[:2], Prices((make_cost(first, {"byol": 0.05, "simclr": 0.1}, GPU_B),)))
    assert means(other) == {(35.0, 45.0), (70.0, 40.0)}


def test_costs_of_a_flagged_step_cost_are_hollow_and_on_no_front() -> None:
    runs = both({"epochs": 10})
    prices = Prices((make_cost(runs, {"byol": 0.05, "simclr": 0.1}, flags=["busy machine"]),))
    figure = draw(runs, prices)
    assert "hollow: times unsafe" in figure.axes[0].get_title(loc="right")
    assert set(text_boxes(figure)) == {"BYOL", "SimCLR"}
    assert "That record is flagged (busy machine): its costs are hollow" in caption(rows_of(runs, prices)).details
