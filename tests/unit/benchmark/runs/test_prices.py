"""Which record prices an experiment, and what is said where none does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from made_costs import CPU, GPU_A, GPU_B, store_cost
from made_records import make_record
from priced_specs import cost_of

from benchmark.errors import UserError
from benchmark.records.cost import Hardware, find_costs, read_cost
from benchmark.records.folder import write_record
from benchmark.runs.prices import CostSource, choose_cost, find_price_records, keep_beside, prices_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.experiment.run_spec import RunSpec

HERE = Hardware(**{**CPU, "precision": "32"})
SECONDS = {"simclr": 0.5, "supervised": 0.25}
LATER = "2026-02-01T10:00:00+00:00"


@pytest.fixture
def specs(make_specs: Callable[..., list[RunSpec]]) -> list[RunSpec]:
    """Runs of two entries that train and one that does not, under a calibrated budget."""
    return make_specs("simclr", "supervised", "random_init", budget={"calibrated_time": "10s"})


@pytest.fixture
def source(tmp_path: Path) -> CostSource:
    """The experiment's folder of records, still empty."""
    return CostSource(tmp_path / "few/costs", "measure it with: bench cost few")


def _store(tmp_path: Path, specs: list[RunSpec], seconds: dict[str, float] = SECONDS, **options: Any) -> Path:
    return store_cost(tmp_path, cost_of(specs, seconds, experiment="few", **options))


def test_other_budgets_need_no_record(make_specs: Callable[..., list[RunSpec]], source: CostSource, notes: Any) -> None:
    assert choose_cost(make_specs("simclr"), source, HERE, notes.say) is None


def test_the_newest_record_of_this_hardware_is_preferred(
    specs: list[RunSpec], source: CostSource, tmp_path: Path, notes: Any
) -> None:
    for number, options in enumerate(
        ({}, {"ended": LATER}, {"hardware": GPU_A, "ended": "2026-03-01T10:00:00+00:00"}), start=1
    ):
        _store(tmp_path, specs, id=f"{number}" * 32, **options)
    chosen = choose_cost(specs, source, HERE, notes.say)
    assert chosen is not None and (chosen.hardware, chosen.ended) == (HERE, LATER)
    assert notes.lines == [f"budget by step cost {chosen.key[:8]}, 2026-02-01 ({HERE.text})"]


def test_a_record_with_doubtful_seconds_gives_way(
    specs: list[RunSpec], source: CostSource, tmp_path: Path, notes: Any
) -> None:
    _store(tmp_path, specs, id="1" * 32)
    _store(tmp_path, specs, id="2" * 32, ended=LATER, flags=["busy machine"])
    chosen = choose_cost(specs, source, HERE, notes.say)
    assert chosen is not None and not chosen.flags and "a newer one is there" in notes.lines[0]


def test_the_record_that_runs_have_already_stays_theirs_and_is_kept_beside_them(
    specs: list[RunSpec], source: CostSource, tmp_path: Path, notes: Any
) -> None:
    first = read_cost(_store(tmp_path, specs, id="1" * 32))
    results = tmp_path / "elsewhere" / "few"
    own = replace(source, results=results)
    assert choose_cost(specs, own, HERE, notes.say) == first
    for _ in range(2):
        keep_beside(first, results)
        assert [cost for _, cost in find_costs([results])[0]] == [first]
    budget = {"calibrated_time": 60.0, "steps": 7, "step_cost": first.key}
    run = make_record(budget=budget)
    write_record(results / "byol" / "seed-0-12345678", run)
    _store(tmp_path, specs, id="2" * 32, ended=LATER)
    assert choose_cost(specs, own, HERE, notes.say) == first
    assert "a newer one is there: --costs FILE begins runs by it" in notes.lines[-1]
    assert len(find_costs([results])[0]) == 1


def test_the_only_other_hardware_is_used_and_said(
    specs: list[RunSpec], source: CostSource, tmp_path: Path, notes: Any
) -> None:
    path = _store(tmp_path, specs, hardware=GPU_A)
    chosen = choose_cost(specs, source, HERE, notes.say)
    assert chosen is not None and chosen.hardware.device_model == "Imaginary A1"
    assert "(other hardware than this: Imaginary A1, float32, torch 2.14)" in notes.lines[0]
    _store(tmp_path, specs, hardware=GPU_B)
    with pytest.raises(UserError, match=r"on imaginary-a1-32 and imaginary-b2-32, but not on .*--costs FILE"):
        choose_cost(specs, source, HERE, notes.say)
    one = CostSource(path, source.advice)
    assert choose_cost(specs, one, HERE, notes.say) == chosen


@pytest.mark.parametrize(
    ("seconds", "options", "message"),
    [
        ({"simclr": 0.5}, {}, "has no price for supervised"),
        ({"simclr": 0.5}, {"hardware": GPU_A}, "has no price for supervised"),
        (SECONDS, {"rounds": 4}, "has no price for simclr and supervised"),  # too few rounds
        (SECONDS, {"status": "unfinished"}, "is unfinished"),
    ],
)
def test_a_record_that_lacks_something_is_named_with_the_command_that_measures_it(
    specs: list[RunSpec],
    source: CostSource,
    tmp_path: Path,
    notes: Any,
    seconds: dict[str, float],
    options: dict[str, Any],
    message: str,
) -> None:
    _store(tmp_path, specs, seconds, **options)
    with pytest.raises(UserError, match=f"has no fitting one: step cost .*, 2026-01-06, {message}; measure it with"):
        choose_cost(specs, source, HERE, notes.say)


def test_a_record_of_another_precision_prices_nothing(
    specs: list[RunSpec], source: CostSource, tmp_path: Path, notes: Any
) -> None:
    _store(tmp_path, specs)
    with pytest.raises(UserError, match=r"has no fitting one: .*, is of precision 32, not bf16"):
        choose_cost(specs, source, HERE.model_copy(update={"precision": "bf16"}), notes.say)


def test_without_a_record_the_command_is_named_and_what_was_unreadable(
    specs: list[RunSpec], source: CostSource, tmp_path: Path, notes: Any
) -> None:
    message = rf"a calibrated budget needs a step cost, and {source.path} has none; measure it with: bench cost few"
    with pytest.raises(UserError, match=message):
        choose_cost(specs, source, HERE, notes.say)
    with pytest.raises(UserError, match=message):
        source.check()
    source.path.mkdir(parents=True)
    (source.path / "torn.json").write_text("{")
    with pytest.raises(UserError, match=r"has none; left out: .*torn.json: not a JSON file"):
        source.check()
    with pytest.raises(UserError, match=r"--costs: .*torn.json: not a JSON file"):
        find_price_records(source.path / "torn.json")


def test_a_folder_of_results_is_searched_too(specs: list[RunSpec], tmp_path: Path) -> None:
    _store(tmp_path, specs)
    found = [find_price_records(path)[0] for path in (tmp_path, tmp_path / "few", tmp_path / "few/costs")]
    assert found[0] == found[1] == found[2] and len(found[0]) == 1


def test_estimates_have_the_newest_price_of_each_entry_on_this_hardware(
    specs: list[RunSpec], source: CostSource, tmp_path: Path
) -> None:
    _store(tmp_path, specs)
    _store(tmp_path, specs, {"simclr": 0.75}, id="cd" * 16, ended=LATER)
    _store(tmp_path, specs, {"simclr": 0.125}, hardware=GPU_A, ended=LATER)
    prices = prices_here(source, HERE)
    by_name = {price.entry.entry: price for price in prices.values()}
    medians = {name: price.entry.seconds_per_step.median for name, price in by_name.items()}  # type: ignore[union-attr]
    assert medians == {"simclr": 0.75, "supervised": 0.25}
    assert by_name["simclr"].source == f"step cost {by_name['simclr'].cost.key[:8]}, 2026-02-01"
    assert prices_here(None, HERE) == {}
