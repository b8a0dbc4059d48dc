"""`bench sweep --detect`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from studies import make_study, study_of

from benchmark.analysis.seed_plan import SeedPlan
from benchmark.cli.seeds import seeds_table, seeds_text
from benchmark.records.study import STUDY_FILE

if TYPE_CHECKING:
    from pathlib import Path

SCORES: dict[tuple[object, ...], list[float]] = {(1,): [40.0, 41.0, 42.0], (2,): [41.0, 43.0, 45.0]}


def _sweep(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "depth.yaml"
    parameters = {"cnn_jepa.predictor_depth": {"values": [1, 2, 3, 4]}}
    sweep = {"experiment": "tiny.yaml", "entries": ["cnn_jepa"], "parameters": parameters, "seeds": [0, 1, 2]}
    path.write_text(yaml.safe_dump({**sweep, **changes}))
    return path


def _write(tmp_path: Path, scores: Any = SCORES) -> Path:
    path = tmp_path / "depth" / STUDY_FILE
    path.parent.mkdir()
    path.write_text(make_study(studies=[study_of(scores)]).model_dump_json())
    return path


def test_a_study_says_how_many_seeds_it_needs(bench: Any, tiny: Any, tmp_path: Path) -> None:
    _write(tmp_path)
    code, printed = bench("sweep", "--show", "depth", "--detect", 1, "--out", tmp_path)
    assert code == 0
    # A spread of 1 point and one comparison: ten seeds, as published.
    assert "10 seeds detect a difference of 1 point in every comparison (power 80%)" in printed
    assert "not significant: no difference larger than 4.5" in printed
    tiny(entries=["cnn_jepa"])
    code, planned = bench("sweep", _sweep(tmp_path), "--detect", 1, "--out", tmp_path)
    assert code == 0 and planned and printed.endswith(planned)


def test_before_the_sweep_runs_of_the_entry_say_it(
    bench: Any, tiny: Any, tmp_path: Path, make_record: Any, store: Any
) -> None:
    tiny(entries=["cnn_jepa"])
    code, printed = bench("sweep", _sweep(tmp_path), "--detect", 1, "--out", tmp_path)
    assert code == 2 and "the spread between seeds of cnn_jepa is unknown" in printed
    assert f"neither {tmp_path / 'depth' / STUDY_FILE} nor two seeds of it below {tmp_path / 'tiny'}" in printed
    assert "bench run tiny.yaml --methods cnn_jepa --seeds 0,1,2" in printed
    for seed in range(3):
        store(tmp_path, make_record("cnn_jepa", seed, experiment="tiny", top1=40.0 + seed / math.sqrt(2)))
    code, printed = bench("sweep", _sweep(tmp_path), "--detect", 1, "--out", tmp_path)
    assert code == 0
    assert f"cnn_jepa: spread between 3 seeds, 10 epochs ({tmp_path / 'tiny'})" in printed
    row = next(line.split() for line in printed.splitlines() if "predictor_depth: each value against 3" in line)
    assert row[-7:-3] == ["1.00", "3", "3", "3"]  # spread, from three seeds, three comparisons, three seeds planned


@pytest.mark.parametrize("points", [0, -1, "nan", 101])
def test_a_difference_is_above_zero(bench: Any, points: Any) -> None:
    code, printed = bench("sweep", "mask_ratio", "--detect", points)
    said = "'nan' is not a number" if points == "nan" else f"--detect is {points}; expected a difference above 0"
    assert code == 2 and said in printed


def test_one_seed_has_no_spread(bench: Any, tmp_path: Path) -> None:
    path = _write(tmp_path, {(1,): [40.0], (2,): [41.0]})
    code, printed = bench("sweep", "--show", "depth", "--detect", 1, "--out", tmp_path)
    assert code == 2 and f"--detect: {path}: no two values of a parameter share two seeds" in printed


def test_ranges_are_not_compared(bench: Any, tiny: Any, tmp_path: Path, make_record: Any, store: Any) -> None:
    tiny(entries=["cnn_jepa"])
    for seed in range(2):
        store(tmp_path, make_record("cnn_jepa", seed, experiment="tiny", top1=40.0 + seed))
    parameters = {"cnn_jepa.optimizer.lr": {"low": 0.001, "high": 0.01}}
    path = _sweep(tmp_path, parameters=parameters, sampler="random", trials=4)
    code, printed = bench("sweep", path, "--detect", 1, "--out", tmp_path)
    assert code == 2 and "no parameter has a list of values to compare" in printed


def test_the_table_and_its_sentence() -> None:
    plans = [SeedPlan("e", "e.lr", "1 against 2", 1.0, 3, 3, 1), SeedPlan("e", "e.lr", "3 against 2", 2.0, 3, 1, 1)]
    table = seeds_table(plans, 1.0)
    cells = [list(column.cells) for column in table.columns]
    assert cells[1] == ["lr: 1 against 2", "lr: 3 against 2"]
    assert cells[6][1] == "-"  # one seed detects nothing
    assert cells[7] == ["10", "34"]
    assert seeds_text(plans, 1.0).startswith("34 seeds detect a difference of 1 point in every comparison")
    assert seeds_text(plans, 1e-4).startswith("more than 10,000 seeds detect")
