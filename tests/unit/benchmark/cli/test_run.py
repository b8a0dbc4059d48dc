"""What `bench run`, `plan` and `check` make of the outcome; the runs themselves are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmark.cli import run
from benchmark.runs.bands import Finding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmark.records.schema import Record

    Bench = Callable[..., tuple[int, str]]
    MakeRecord = Callable[..., Record]


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The records that `_run` returns, and the request that it received; no report is written."""
    seen: dict[str, Any] = {"records": [], "reports": []}

    def fake(request: Any, out: Path, devices: Any = None, **_: Any) -> list[Record]:
        seen.update(request=request, out=out, devices=devices)
        return list(seen["records"])

    monkeypatch.setattr(run, "_run", fake)
    monkeypatch.setattr(run, "write_pages", lambda folders, out: seen["reports"].append((folders, out)))
    return seen


def test_a_failed_run_is_exit_code_1_and_in_the_report(
    bench: Bench, outcome: dict[str, Any], make_record: MakeRecord, tmp_path: Path
) -> None:
    outcome["records"] = [make_record(), make_record("simclr", status="failed", measured=False)]
    code, printed = bench("run", "quickstart", "--out", tmp_path)
    assert (code, printed) == (1, f"leaderboard, figure and report: {tmp_path / 'cifar10' / 'report'}\n")
    assert outcome["reports"] == [([tmp_path / "cifar10"], tmp_path / "cifar10" / "report")]
    outcome["records"] = [make_record()]
    assert bench("run", "quickstart", "--out", tmp_path, "--quiet") == (0, "")


def test_options_reach_the_run(bench: Bench, outcome: dict[str, Any], tmp_path: Path) -> None:
    assert bench("--debug", "run", "cpu", "--devices", "2", "--share", "--set", "a=1", "--set", "b=2")[0] == 0
    request = outcome["request"]
    assert (request.config, request.settings, request.share, request.debug) == ("cpu", ["a=1", "b=2"], True, True)
    assert (outcome["devices"], request.out.name) == (2, "results")
    assert outcome["reports"] == []  # other processes have all runs, and write it


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_calibrated_budget_without_a_step_cost_is_refused_with_the_command(
    bench: Bench, tiny: Callable[..., Path], tmp_path: Path, command: str
) -> None:
    arguments = (command, tiny(), "--budget", "calibrated_time=10m", "--out", tmp_path)
    code, printed = bench(*arguments)
    assert code == 2 and printed == (
        f"error: a calibrated budget needs a step cost, and {tmp_path / 'tiny/costs'} has none; measure it with: "
        f"bench cost {tmp_path / 'tiny.yaml'} --out {tmp_path}\n"
    )
    code, printed = bench(*arguments, "--costs", tmp_path / "none.json")
    assert code == 2 and f"--costs: {tmp_path / 'none.json'}: no such file or folder" in printed
    code, printed = bench(*arguments[:3], "calibrated_tim=10m")
    assert code == 2 and "unknown kind 'calibrated_tim'; did you mean 'calibrated_time'" in printed


def test_check_compares_with_the_bands_and_measures_them(
    bench: Bench, outcome: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Finding("simclr", "final loss", 3.2, 3.0, 4.0, "ok")
    bad = Finding("byol", "linear top-1", None, 20.0, 30.0, "failed")
    monkeypatch.setattr("benchmark.runs.bands.compare", lambda records: [good])
    code, printed = bench("check", "--methods", "simclr")
    assert code == 0
    assert printed.split() == ["simclr", "final", "loss", "3.2", "expected", "3", "to", "4", "ok"]
    monkeypatch.setattr("benchmark.runs.bands.compare", lambda records: [good, bad])
    assert bench("check")[0] == 1
    monkeypatch.setattr("benchmark.runs.bands.measure", lambda records: "bands")
    assert bench("check", "--measure", "3") == (0, "bands\n")
    assert outcome["request"].seeds == "0,1,2"
