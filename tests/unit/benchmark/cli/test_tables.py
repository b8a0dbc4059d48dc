from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from studies import make_front_study, make_study

from benchmark.cli import tables
from benchmark.records.cost import Interval
from benchmark.runs.estimate import Estimate

if TYPE_CHECKING:
    from rich.table import Table


def _rows(table: Table) -> list[list[str]]:
    """The cells of a table, row by row."""
    return [list(cells) for cells in zip(*(column.cells for column in table.columns), strict=True)]  # type: ignore[arg-type]


def _heads(table: Table) -> list[str]:
    return [str(column.header) for column in table.columns]


def test_a_budget_of_time_is_in_words(make_record: Any) -> None:
    assert tables.record_cells(make_record(budget={"wall_clock": 150.0}), top5=True)[1] == "150 s of training"


def test_runs_are_sorted_by_accuracy_and_flagged(make_record: Any) -> None:
    failed = make_record("vicreg", status="failed", measured=False)
    table = tables.runs_table([failed, make_record("byol", top1=40.0), make_record("simclr", flags=["shared device"])])
    rows = _rows(table)
    assert [row[0] for row in rows] == ["simclr", "byol", "vicreg"]
    assert rows[0][-1] == "completed, shared device"
    assert rows[1][3:7] == ["40.0", "80.0", "36.0", "37.0"]
    assert rows[2][3:] == [*["-"] * 7, "failed"]


def test_there_is_no_top_5_of_five_classes(make_record: Any) -> None:
    assert "top-5" in _heads(tables.runs_table([make_record()]))
    assert "top-5" not in _heads(tables.runs_table([make_record(dataset={"classes": 5})]))


def _estimate(**changes: Any) -> Estimate:
    spec: Any = SimpleNamespace(
        entry=SimpleNamespace(name="byol"), budget="epochs=2", experiment=SimpleNamespace(batch_size=64)
    )
    values: dict[str, Any] = {
        "spec": spec, "runs": 3, "step": 0.02, "training": 1800.0, "evaluation": 60.0, "samples": 1.0,
        "memory": 3 << 20, "disk": None,
    }  # fmt: skip
    return Estimate(**{**values, **changes})


def test_an_estimate_in_a_row() -> None:
    (row,) = _rows(tables.plan_table([_estimate()]))
    assert row == ["byol", "epochs=2", "3", "20", "3,200", "30.0 min", "60 s", "1.50", "3 MiB", "-"]
    (row,) = _rows(tables.plan_table([_estimate(step=None, evaluation=None, training=18.0)]))
    assert row[3:8] == ["-", "-", "18 s", "-", "0.015"]


def test_what_comes_from_a_step_cost_record_is_named_with_its_interval() -> None:
    assert tables.plan_table([_estimate()]).caption == (
        "estimates from a few steps of each entry, per run; without probes of entries that train nothing"
    )
    interval = Interval(median=1800.0, low=1764.0, high=1836.0)
    priced = _estimate(source="step cost abababab, 2026-01-06", interval=interval, devices=2)
    (row,) = _rows(tables.plan_table([priced]))
    assert row[5] == "30.0 min ±2.0%"
    start = "estimates by step cost abababab, 2026-01-06: byol"
    assert str(tables.plan_table([priced, priced]).caption).startswith(f"{start}, per run")
    assert str(tables.plan_table([priced, _estimate()]).caption).startswith(f"{start}; others from a few steps, per")
    untrained = _estimate(step=None)
    assert str(tables.plan_table([priced, untrained]).caption).startswith(f"{start}, per run")
    assert tables.sharing_text([priced, untrained]) == ""  # measured on both devices


def test_estimates_for_several_devices_say_what_they_assume() -> None:
    assert tables.sharing_text([_estimate()]) == ""
    assert "assumes that 4 devices divide the work without loss" in tables.sharing_text([_estimate(devices=4)])


def test_trials_are_sorted_within_their_entry() -> None:
    rows = _rows(tables.trials_table(make_study()))
    values = [float(row[2]) for row in rows if row[2] != "-"]
    assert values == sorted(values, reverse=True) and len(values) == 8
    assert rows[-1][-1] == "pruned (seed 0: pruned (given up at 40% of its budget))"
    assert rows[-1][1] == "masking.strategy=mixed, predictor_depth=9"


def test_the_front_of_two_objectives_is_marked() -> None:
    table = tables.trials_table(make_front_study())
    front = _heads(table).index("front")
    marked = {row[1] for row in _rows(table) if row[front] == "*"}
    assert marked == {f"predictor_depth={number + 1}" for number in (0, 1, 3)}
    assert "front" not in _heads(tables.trials_table(make_study()))


def test_a_sweeps_trials_are_counted() -> None:
    study = make_study()
    text = tables.trials_text(study)
    assert text.startswith(f"9 of 9 trials done; {len(study.runs)} runs took ")


def test_one_run_is_not_plural() -> None:
    assert [tables.runs_text(count) for count in (1, 2)] == ["1 run", "2 runs"]


def test_what_two_results_differ_in_and_what_changed(make_record: Any) -> None:
    first = [make_record("byol", seed, top1=40.0 + seed) for seed in (0, 1)]
    assert "run alike" in str(tables.unlike_table(first, first))
    other = [make_record("byol", seed, config={"precision": "32"}) for seed in (0, 1)]
    assert ["precision", "bf16", "32"] in _rows(tables.unlike_table(first, other))  # type: ignore[arg-type]
    second = [make_record("byol", seed, top1=43.0 + seed) for seed in (0, 1)]
    (row,) = _rows(tables.change_table(first, second))
    assert row[:4] == ["byol", "10 epochs", "2, 2", "40.5 to 43.5"]
    assert row[4].startswith("+3.0")


def test_markup_in_names_is_printed_as_it_is(make_record: Any) -> None:
    console = Console(width=200, record=True, file=None)
    with console.capture() as capture:
        console.print(tables.runs_table([make_record("byol", status="collapsed", flags=["[red]x[/red]"])]))
    assert "[red]x[/red]" in capture.get()


def test_comparisons_of_a_parameter_are_listed() -> None:
    table = tables.comparisons_table(make_study())
    assert table is not None and "power of 80%" in str(table.caption)
    rows = {row[1]: row for row in _rows(table)}
    assert len(rows) == 1 + 6  # two strategies; each pair of four depths
    below = rows["predictor_depth: 1 against 3"]
    assert below[0] == "cnn_jepa" and below[2] == "3" and below[3].startswith("-6.") and below[-1] == "lower"
    alike = rows["masking.strategy: mixed against random"]
    assert alike[-1].startswith("not significant: no difference larger than ")
    assert float(alike[5]) > 0.0
    assert tables.comparisons_table(make_study(seeds=1)) is None
