"""Budgets of calibrated time from the command line: steps by a record, resuming, keys."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
import torch
from made_costs import make_cost, store_cost

from benchmark.analysis.comparability import quality_key
from benchmark.machine.environment import hardware
from benchmark.records.keys import recomputed_key
from benchmark.training import loop

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_calibrated_budget_trains_and_resumes_as_its_steps(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = ("simclr", "vicreg", "random_init")
    bench.finished(tmp_path / "whole", *entries)  # under a budget of ten steps
    whole = bench.records(tmp_path / "whole")
    here = hardware(torch.device("cpu"), 1, whole["simclr"].config["precision"]).model_dump()
    cost = make_cost([whole["simclr"], whole["vicreg"]], {"simclr": 0.2, "vicreg": 0.5}, here, reference="simclr",
                     experiment="tiny")  # fmt: skip
    store_cost(tmp_path / "out", cost)
    real = loop.run_step
    stops = [5, 2]

    def interrupt(training: Any, progress: float, *arguments: Any) -> Any:
        if progress > 0 and stops and training.step == stops[-1]:
            stops.pop()
            signal.raise_signal(signal.SIGINT)
        return real(training, progress, *arguments)

    monkeypatch.setattr(loop, "run_step", interrupt)
    run = ("run", bench.config(), "--out", tmp_path / "out", "--methods", ",".join(entries))
    command = (*run, "--budget", "calibrated_time=2s")
    codes, printed = zip(*(bench(*command) for _ in range(3)), strict=True)
    assert codes == (130, 130, 0), printed
    assert f"budget by step cost {cost.key[:8]}, 2026-01-06" in printed[0]
    records = bench.records(tmp_path / "out")
    steps = {entry: record.config["budget"]["steps"] for entry, record in records.items()}
    assert steps == {"simclr": 10, "vicreg": 4, "random_init": 0}
    for entry, record in records.items():
        assert record.config["budget"] == {"calibrated_time": 2.0, "steps": steps[entry], "step_cost": cost.key}
        assert record.ledger.steps == steps[entry]
        assert recomputed_key(tmp_path, record) == record.key
        assert record.key != whole[entry].key
    assert records["simclr"].metrics == whole["simclr"].metrics
    assert bench.history(tmp_path / "out", "simclr") == bench.history(tmp_path / "whole", "simclr")
    assert "resumed" in records["simclr"].flags
    assert len({quality_key(record) for record in records.values()}) == 1
    assert "nothing to do" in bench(*command)[1]
