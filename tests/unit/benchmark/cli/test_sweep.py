from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from studies import make_study

from benchmark.cli.sweep import _worker_arguments
from benchmark.records.study import STUDY_FILE

if TYPE_CHECKING:
    from pathlib import Path


def test_a_worker_gets_the_commands_arguments_and_works_alone() -> None:
    arguments = ["--debug", "sweep", "mask_ratio", "--workers", "4", "--share"]
    assert _worker_arguments(arguments) == [
        "mask_ratio", "--workers", "4", "--share", "--workers", "1", "--worker", str(os.getpid()),
    ]  # fmt: skip


def test_a_study_is_printed_by_its_name_or_its_folder(bench: Any, tmp_path: Path) -> None:
    folder = tmp_path / "depth"
    folder.mkdir()
    (folder / STUDY_FILE).write_text(make_study().model_dump_json())
    code, printed = bench("sweep", "--show", "depth", "--out", tmp_path)
    assert code == 0
    assert "8 of 9 trials" not in printed and "9 of 9 trials done" in printed
    assert bench("sweep", "--show", folder)[1] == printed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dept", "--show: no study 'dept'; did you mean 'depth'? choices: depth"),
        ("depth", "study.json: not a JSON file"),
    ],
)
def test_a_study_that_cannot_be_shown(bench: Any, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "depth").mkdir()
    (tmp_path / "depth" / STUDY_FILE).write_text("{")
    code, printed = bench("sweep", "--show", name, "--out", tmp_path)
    assert code == 2
    assert message in printed


def test_a_calibrated_budget_without_a_step_cost_is_refused(bench: Any, tiny: Any, tmp_path: Path) -> None:
    tiny()
    path = tmp_path / "rates.yaml"
    path.write_text(yaml.safe_dump({
        "experiment": "tiny.yaml", "entries": ["simclr"], "parameters": {"simclr.temperature": {"values": [0.1, 0.2]}},
    }))  # fmt: skip
    code, printed = bench("sweep", path, "--budget", "calibrated_time=10m", "--out", tmp_path)
    assert code == 2 and printed.endswith(
        f"{tmp_path / 'tiny/costs'} has none; measure it with: bench cost {tmp_path / 'tiny.yaml'} --methods simclr "
        f"--out {tmp_path}\n"
    )
