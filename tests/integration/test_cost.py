"""`bench cost` on the command line: experiments, results, wrong input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from made_records import forge

from benchmark.records.cost import find_costs
from benchmark.records.keys import step_key_of

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("--rounds", "5", "--block", "0.01", "--device", "cpu")


@pytest.mark.slow
def test_an_experiment_is_measured_and_its_runs_are_priced(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "results"
    bench.finished(out, "simclr", "supervised", "random_init")
    code, printed = bench("cost", bench.config(), "--methods", "simclr,supervised,random_init", "--out", out, *QUICK)
    assert code == 0, printed
    assert "simclr" in printed and "5 rounds" in printed and "ratios to simclr" in printed
    ((path, cost),), problems = find_costs([out])
    assert path.parent == out / "tiny" / "costs" and not problems and str(path) in printed
    records = bench.records(out)
    assert {step_key_of(records[name]) for name in ("simclr", "supervised")} == set(cost.prices)


@pytest.mark.slow
def test_results_are_measured_without_their_experiment(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "results"
    bench.finished(out, "simclr", "supervised", "random_init")
    code, printed = bench("cost", out, "--against", "supervised", *QUICK)
    assert code == 0, printed
    ((_, cost),), _ = find_costs([out])
    assert sorted(entry.entry for entry in cost.entries) == ["simclr", "supervised"] and cost.reference == "supervised"
    code, printed = bench("cost", out / "tiny", "--methods", "supervised", *QUICK, "--quiet")
    assert (code, printed) == (0, "") and len(find_costs([out])[0]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstart", "--methods", "random_init"], "no entry trains anything"),
        (["quickstart", "--against", "simcrl"], "--against: 'simcrl' is not an entry; did you mean 'simclr'"),
        (["quickstart", "--precise", "lots"], "--precise is 'lots'; expected a share such as 2%"),
        (["quickstart", "--rounds", "2"], "--rounds"),
        (["quikstart"], "unknown experiment 'quikstart'; did you mean 'quickstart'"),
        (["quickstart", "cpu"], "cpu: no such folder; expected one experiment, or results folders"),
        (["quickstart", "--methods", "simcrl"], "unknown method or entry 'simcrl'; did you mean 'simclr'"),
    ],
)
def test_wrong_input_is_refused(bench: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, printed = bench("cost", *arguments, "--out", tmp_path / "out")
    assert code == 2 and message in " ".join(printed.replace("│", " ").split()), printed
    assert not (tmp_path / "out").exists()


def test_wrong_results_are_refused(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "results"
    run = bench.finished(out, "simclr")
    for arguments, message in (
        ([out, tmp_path / "none"], "none: no such folder; expected results folders, or one experiment"),
        ([out, "--set", "batch_size=8"], "--set applies to an experiment"),
        ([out, "--out", tmp_path], "--out applies to an experiment"),
        ([out, "--methods", "simcrl"], "unknown method or entry 'simcrl'; did you mean 'simclr'"),
        ([out, "--precision", "b16"], "precision is 'b16'"),
    ):
        code, printed = bench("cost", *arguments)
        assert code == 2 and message in printed, printed
    record = run / "record.json"
    forge(record, json.loads(record.read_text().replace('"temperature"', '"temprature"')))
    code, printed = bench("cost", out)
    assert code == 2 and "record.json: entry 'simclr': unknown key 'temprature'; did you mean 'temperature'" in printed
