"""Further protocols on finished runs."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from made_records import forge

from benchmark.training.checkpoint import ENCODER_FILE

if TYPE_CHECKING:
    from pathlib import Path

TWO = ["simclr", "random_init"]


@pytest.mark.slow
def test_further_protocols_are_written_next_to_the_records_and_reported(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = bench.finished(out, *TWO) / "record.json"
    before = record.read_bytes()

    # An experiment that lists a protocol runs it on finished runs; nothing is trained again.
    config = bench.config(evaluation={"points": 2, "further": ["lowshot-v1"]})
    run = ("run", config, "--out", out, "--methods", ",".join(TWO))
    code, printed = bench(*run)
    assert code == 0 and "nothing to do" not in printed, printed
    assert record.read_bytes() == before
    assert "nothing to do" in bench(*run)[1]

    code, printed = bench("evaluate", out, "--protocols", "lowlevel-v1,linear-cnnjepa,lowshot-v1")
    assert code == 0, printed
    code, printed = bench("evaluate", out, "--protocols", "transfer-v1", "--dataset", "digits")
    assert code == 0, printed
    assert "there already" in bench("evaluate", out, "--protocols", "transfer-v1", "--dataset", "digits")[1]
    names = {path.name.split(".")[0] for path in (record.parent / "probes").iterdir()}
    assert names == {"lowshot-v1", "lowlevel-v1", "linear-cnnjepa", "transfer-v1"}

    (stray,) = out.glob("*/random_init/*/probes/lowlevel-v1.json")
    probe = json.loads(stray.read_text())
    forge(stray, {**probe, "key": f"f{probe['key']}"})
    code, printed = bench("report", out, "--out", tmp_path / "report")
    assert code == 0, printed
    rows = list(csv.DictReader((tmp_path / "report" / "probes.csv").open()))
    assert {(row["protocol"], row["probed_on"]) for row in rows} == {
        ("lowshot-v1", "shapes"),
        ("lowlevel-v1", "shapes"),
        ("linear-cnnjepa", "shapes"),
        ("transfer-v1", "digits"),
    }
    probe = json.loads((record.parent / "probes" / "lowshot-v1.json").read_text())
    (row,) = [row for row in rows if row["entry"] == "simclr" and row["score"] == "lowshot10_top1"]
    assert float(row["mean"]) == pytest.approx(probe["scores"]["lowshot10_top1"]) and row["n"] == "1"
    assert not [row for row in rows if row["entry"] == "random_init" and row["protocol"] == "lowlevel-v1"]
    page = (tmp_path / "report" / "report.md").read_text()
    assert "transfer-v1 on digits" in page and "belongs to run" in page


@pytest.mark.slow
def test_a_repeated_run_does_not_keep_the_probes_of_the_earlier_encoder(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = bench.config(entries=["random_init"])
    path = bench.finished(out, "random_init") / "record.json"
    assert bench("evaluate", out, "--protocols", "lowshot-v1")[0] == 0
    changed = json.loads(path.read_text())
    forge(path, {**changed, "status": "failed", "cause": "exception", "metrics": None})
    assert bench("run", config, "--out", out)[0] == 0
    assert not (path.parent / "probes").exists() and (path.parent / "probes.failed-1").is_dir()
    assert "there already" not in bench("evaluate", out, "--protocols", "lowshot-v1")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--protocols", "lowshot"), "did you mean 'lowshot-v1'?"),
        (("--protocols", "transfer-v1"), "needs --dataset"),
        (("--protocols", "lowshot-v1", "--dataset", "digit"), "did you mean 'digits'?"),
        (("--protocols", "lowlevel-v1", "--dataset", "digits"), "take shapes"),
        (("--protocols", "lowshot-v1", "--data", "here"), "does not apply to the embedded dataset"),
        (("--protocols", "lowshot-v1", "--size", "32", "--name", "x"), "--name and --size: for one checkpoint file"),
        (("--protocols", "lowshot-v1", "--allow-partial"), "--allow-partial: for one checkpoint file"),
    ],
)
def test_impossible_requests_are_refused(bench: Any, tmp_path: Path, arguments: Any, message: str) -> None:
    bench.finished(tmp_path / "out", "random_init")
    code, printed = bench("evaluate", tmp_path / "out", *arguments)
    assert code == 2 and message in printed


def test_missing_and_damaged_weights_are_refused(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    weights = bench.finished(out, "random_init") / ENCODER_FILE
    weights.write_bytes(weights.read_bytes()[:-40])
    code, printed = bench("evaluate", out, "--protocols", "lowshot-v1")
    assert code == 2 and ENCODER_FILE in printed
    weights.unlink()
    code, printed = bench("evaluate", out, "--protocols", "lowshot-v1")
    assert code == 2 and "none of the 1 runs" in printed


@pytest.mark.parametrize(
    ("name", "message"),
    [("linear-v1", "scores every run anyway"), ("lowshots", "did you mean"), ("transfer-v1", "bench evaluate")],
)
def test_an_experiment_lists_only_further_protocols(bench: Any, name: str, message: str) -> None:
    code, printed = bench("run", bench.config(evaluation={"further": [name]}))
    assert code == 2 and message in printed


@pytest.mark.slow
def test_every_kind_of_entry_reaches_its_band(bench: Any) -> None:
    """The JEPAs, supervised training and the untrained networks; tests/parity covers the steps of the others."""
    code, printed = bench("check", "--quiet", "--methods", "cnn_jepa,ijepa,supervised,random_init,random_init_vit")
    assert code == 0, printed
    assert printed.count(" ok") == 8  # two for each of three trained entries, one for each untrained network


@pytest.mark.slow
@pytest.mark.thorough
def test_a_method_that_learns_nothing_falls_out_of_its_bands(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_, **__: None)
    code, printed = bench("check", "--methods", "cnn_jepa", "--quiet")
    assert code == 1
    verdicts = [line.split()[-1] for line in printed.splitlines() if "final loss" in line]
    assert len(verdicts) == 1 and "ok" not in verdicts, printed
